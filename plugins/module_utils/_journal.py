# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find in a failed program's journal the cause of the failure: the one line that a person looks for among the tracebacks.

Names and forms are those of vLLM 0.8.5 to 0.33.0 (C(decorate_logs), C(logger.py)), Ray 2.56, torch 2.13, uvicorn, pydantic 2 and systemd 257.
"""

from __future__ import annotations

import json
import re
import typing as t

from ._exit_status import describe

# The prefix that names the process. Its name varies, but it has the PID: "(EngineCore_DP0 pid=7)", "(VllmWorker-0 pid=7)",
# "(Worker_DP0_PP1_TP3_EP7 pid=7)", "(APIServer_1 pid=7)", "(SpawnProcess-1:2 pid=7)"; Ray's "(RayWorkerProc pid=7, ip=10.0.0.2)", "(raylet)";
# torch's "[rank3]:". A logger adds level, time and line of code: "ERROR 11-21 14:00:00 [core.py:866] ", "ERROR:    ".
_SPEAKER = re.compile(
    r"^(?:\([^()\n]{0,100}(?:\([^()\n]{0,60}\)[^()\n]{0,60})?\bpid=\d+[^)\n]{0,100}\)\s|"
    r"\((?:raylet|gcs_server|autoscaler|monitor)\b[^)\n]{0,60}\)\s|\[rank\d+\]:\s?)*"
    r"(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: \d{2,4}-\d\d(?:-\d\d)? \d\d:\d\d:\d\d(?:[.,]\d+)? \[[^\]\n]{0,200}\] ?|:\s+))?"
)
_LEVEL = re.compile(r"(?:ERROR|CRITICAL)(?: \d{2,4}-|:\s)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_REPEATED = re.compile(r"\s*\[repeated \d+x across cluster\].*$")
# An exception group puts a line before each of its exceptions.
_GROUP = re.compile(r"^\s*(?:\| ?|\+-)+")

# The last line of a traceback is not indented. These are recognised even when the lines before them are missing.
_EXCEPTION = re.compile(
    r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Exit|OutOfMemory\w*|Unsupported|OutOfResources|Interrupt)(?:\([\w.]+\))?(?:: .*|:?$)"
)
_ANY_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\([\w.]+\))?(?:: .*|:?$)")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):$")
_DIRECT_CAUSE = "The above exception was the direct cause of the following exception:"

# Ends without an exception: by the kernel, C++, Rust, Python itself, as logged by them or by another process.
_CRASHES = (
    re.compile(r"A process of this unit has been killed by the OOM killer\.?"),
    re.compile(r"^Fatal Python error: .+"),
    re.compile(r"^(?:terminate called after throwing an instance of|libc\+\+abi:) .+"),
    re.compile(r"^thread '[^'\n]*'(?: \(\d+\))? panicked at .+"),
    re.compile(r"^.{0,80}\b(?:Segmentation fault|Bus error|Illegal instruction|Aborted)(?: \(core dumped\))?$"),
    re.compile(r"^(?:.{0,80}: )?(?:line \d+: +\d+ )?Killed\b.{0,80}$"),
    re.compile(r"^!+ ?Segfault encountered ?!+"),
)
# "Failed core proc(s): {'EngineCore_DP0': -9}", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."
_CORE_STATUS = re.compile(r"Failed core proc\(s\): \{.*?'([^']+)': (-\d+|1[34]\d)\b")
_DIED = re.compile(r"(?:^|[ :])((?:Worker proc|Engine core proc|RayWorkerProc) ?\S*(?: rank=\S+)?) died unexpectedly(?:.*\(exit code: (-?\d+)\))?")
# "Main process exited, code=killed, status=9/KILL"; SIGTERM is systemd's normal stop and no cause.
_SYSTEMD = re.compile(r"Main process exited, code=(?:killed|dumped), status=(\d+)/(?!TERM|INT|HUP)\w+")

# Errors of argparse and click about a command line.
_REFUSAL = re.compile(r"^(?:[\w .-]+: )?error: .+|^Error: .+", re.IGNORECASE)
# The status of the supervisor of a multi-node service, in a unit that has not failed itself (supervisor/base.py).
_SUPERVISOR = re.compile(r"^failed: (.+)")
# Messages of the process that waited for the failed one, and of the server about its task that has ended.
_CONSEQUENCE = re.compile(
    r"Engine core initialization failed|EngineCore encountered an issue|EngineCore failed to start|Failed core proc|WorkerProc initialization failed|"
    r"WorkerProc failed to start|EngineDeadError|^SystemExit|^KeyboardInterrupt|CancelledError|BrokenPipeError|EOFError|ChildFailedError|"
    r"Exception in ASGI application|Application startup failed|^Worker failed with error|(?:Ray)?ActorDied?Error|"
    r"[Ss]ee (?:the )?(?:root cause|stack trace)|stack trace above for the root cause|died unexpectedly, shutting down|"
    # What faulthandler prints after the message of whoever aborted the process, which may have been the supervisor (supervisor/stacks.py).
    r"^Fatal Python error: Aborted"
)
# Messages of processes that have lost the connection to the failed one.
_LOST_PEER = re.compile(
    r"Connection (?:closed by|reset by) peer|ConnectionResetError|ConnectionAbortedError|remote process exited|NCCL communicator was aborted|"
    r"ncclRemoteError|DistNetworkError|Broken pipe|Watchdog caught collective operation timeout|recvValue failed|failed to recv, got 0 bytes|ZMQError"
)
# Lines of a healthy start: uvicorn's routes and requests. They would fill a short excerpt.
_NOISE = re.compile(r"^(?:Available routes are:|Route: /\S*, Methods: |\S+:\d+ - \"(?:GET|HEAD|POST) )")
_LONGEST = 500
# How many lines after an exception may belong to its message.
_MORE = 8


class _Line(t.NamedTuple):
    """A line of the journal without its prefix: C(speaker) is the prefix, C(is_error) whether a logger has logged it as an error."""

    speaker: str
    text: str
    is_error: bool


class _Found(t.NamedTuple):
    """A possible cause of a failure, and its position."""

    position: int
    text: str


def said(line: str) -> str:
    """Return the text of a line, without colours and without the prefixes for process and line of code."""
    return _line(line).text


def excerpt(lines: t.Sequence[str], most: int) -> list[str]:
    """Return the most useful lines of a journal, at most C(most): from the first error on, otherwise the last ones.

    Omits frames of tracebacks, which are indented, and the routes and requests of a healthy server.
    """
    read = [(raw, _line(raw)) for raw in lines]
    kept = [(raw, line) for raw, line in read if not line.text.startswith("  ") and not _NOISE.match(line.text)]
    first = next((position for position, (_raw, line) in enumerate(kept) if _is_trouble(line)), None)
    chosen = kept[-most:] if first is None else kept[first:first + most]
    return [raw for raw, _line_ in chosen]


def _is_trouble(line: _Line) -> bool:
    """Whether a line belongs to an error, an exception or a crash."""
    text = line.text.strip()
    return line.is_error or bool(_TRACEBACK.search(text) or _EXCEPTION.match(text) or _REFUSAL.match(text)) or any(one.search(text) for one in _CRASHES)


def cause(lines: t.Sequence[str]) -> str:
    """Return the exception that ended the program, without its traceback, or the error about its command line; empty when there is neither.

    Of several exceptions it is the last one that is not a consequence: not of a process that waited for the failed one or lost its connection.
    """
    read = [_line(line) for raw in lines for line in _unfolded(raw)]
    found = _exceptions(read) + _crashes(read)
    first_hand = [one for one in found if not _CONSEQUENCE.search(one.text)]
    roots = [one for one in first_hand if not _LOST_PEER.search(one.text)]
    if roots:
        return max(roots)[1][:_LONGEST]
    if first_hand:
        # Only lost connections are left; the first of them was to the failed process.
        return min(first_hand)[1][:_LONGEST]
    for chosen in (_statuses(read), [one.text for one in read if _REFUSAL.match(one.text)], [one.text for one in found]):
        if chosen:
            return chosen[-1][:_LONGEST]
    told = [match[1] for match in (_SUPERVISOR.match(one.text) for one in read) if match]
    if told:
        return told[-1][:_LONGEST]
    errors = [one.text for one in read if one.is_error and one.text and not _CONSEQUENCE.search(one.text)]
    return errors[-1][:_LONGEST] if errors else ""


def _unfolded(raw: str) -> list[str]:
    """Return the lines of an entry: a JSON entry (VLLM_LOGGING_CONFIG_PATH) has a message and its traceback."""
    if raw.startswith("{") and '"message"' in raw:
        try:
            entry = json.loads(raw)
        except (ValueError, RecursionError):
            return [raw]
        if isinstance(entry, dict):
            level = str(entry.get("levelname") or entry.get("level") or "")
            prefix = f"{level}: " if level in ("ERROR", "CRITICAL") else ""
            texts = [f"{prefix}{entry.get('message')}", entry.get("exc_info") or entry.get("exception") or ""]
            return [line for text in texts if isinstance(text, str) for line in text.splitlines()]
    return [raw]


def _line(raw: str) -> _Line:
    text = _COLOUR.sub("", raw).rstrip()
    match = t.cast("re.Match[str]", _SPEAKER.match(text))
    speaker = match[0]
    # Remove level and time, which differ between the lines of one traceback.
    name = re.sub(r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL).*", "", speaker)
    return _Line(name.strip(), _REPEATED.sub("", text[match.end():]), bool(_LEVEL.search(speaker)))


def _exceptions(lines: t.Sequence[_Line]) -> list[_Found]:
    """Return the exceptions: the last line of each traceback, and lines that look like an exception when the start of the traceback is missing."""
    found: list[_Found] = []
    inside: set[str] = set()
    # By speaker: the direct cause of its next exception.
    origins: dict[str, str] = {}
    last: dict[str, str] = {}
    for position, line in enumerate(lines):
        text = _GROUP.sub("", line.text) if line.text.lstrip().startswith(("|", "+-")) else line.text
        if _TRACEBACK.search(text):
            inside.add(line.speaker)
        elif text.startswith(_DIRECT_CAUSE):
            origins[line.speaker] = last.get(line.speaker, "")
        elif not text or text.startswith((" ", "\t")):
            continue
        elif _EXCEPTION.match(text) or (line.speaker in inside and _ANY_EXCEPTION.match(text)):
            inside.discard(line.speaker)
            whole = _whole(text, position, lines)
            origin = origins.pop(line.speaker, "")
            last[line.speaker] = whole
            if origin and (_CONSEQUENCE.search(whole) or origin in whole):
                whole = origin
            elif origin and not _CONSEQUENCE.search(origin):
                whole = f"{whole[:_LONGEST // 2]} (caused by {origin})"
            found.append(_Found(position, whole))
    return found


def _whole(text: str, position: int, lines: t.Sequence[_Line]) -> str:
    """Return an exception with the following lines that explain it: of pydantic's report, of NCCL's, or after a colon at its end."""
    after = [line.text for line in lines[position + 1: position + 1 + _MORE] if line.speaker == lines[position].speaker]
    if "ValidationError" in text.partition(":")[0]:
        details = [line.strip() for line in after if line.startswith(" ") and not line.strip().startswith("For further information")]
        reasons = [line.split(" [type=")[0] for line in details if " [type=" in line] or details[:1]
        return f"{text.rstrip(':')}: {'; '.join(reason.replace('Value error, ', '', 1) for reason in reasons)}" if reasons else text
    if "Last error:" in after:
        rest = after[after.index("Last error:") + 1:]
        return f"{text} Last error: {rest[0].strip()}" if rest else text
    if text.endswith(":") and after and after[0].strip() and not _TRACEBACK.search(after[0]):
        return f"{text} {after[0].strip()}"
    return text


def _crashes(lines: t.Sequence[_Line]) -> list[_Found]:
    """Return the crashes: ends of a process without a Python exception."""
    found = []
    for position, line in enumerate(lines):
        text = line.text.strip()
        if not any(pattern.search(text) for pattern in _CRASHES):
            continue
        after = lines[position + 1].text.strip() if position + 1 < len(lines) else ""
        if "OOM killer" in text:
            text = f"{describe(-9)}: {text}"
            text = f"a process of the unit {text}"
        elif "panicked at" in text and after:
            text = f"{text} {after}"
        elif text.startswith("terminate called") and after.startswith("what():"):
            text = f"{text}: {after[len('what():'):].strip()}"
        found.append(_Found(position, text))
    return found


def _statuses(lines: t.Sequence[_Line]) -> list[str]:
    """Return how processes have ended according to other processes or systemd."""
    found = []
    for line in lines:
        core, died, main = _CORE_STATUS.search(line.text), _DIED.search(line.text), _SYSTEMD.search(line.text)
        if core:
            found.append(f"{core[1]} {describe(int(core[2]))}")
        elif died:
            found.append(f"{died[1]} {describe(int(died[2])) if died[2] else 'died unexpectedly'}")
        elif main:
            found.append(f"the main process {describe(-int(main[1]))}")
    return found
