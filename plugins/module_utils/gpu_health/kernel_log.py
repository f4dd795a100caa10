# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of GPUs (XID) and of NVSwitches (SXid) in the kernel's log since the last boot.

The log is that of the journal, otherwise of the kernel's own buffer (dmesg). Reading either needs root, or the group systemd-journal or adm. Forms of the
lines: NVIDIA's "Xid Errors" and Fabric Manager's user guide; and recorded logs.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
import typing as t

from .. import _reading

# Limits: seconds and bytes that a reading may take, lines of errors, and the longest line.
SECONDS = 20.0
MOST_BYTES = 32 * 1024 * 1024
MOST_LINES = 5000
MOST_EVENTS = 200
_SHOWN = 160

# Anchored at the start: the name of a process, which anybody may choose, follows further right.
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?((?:[0-9a-fA-F]{1,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.\d)?\): (\d{1,5}), ?(.*)")
_LOST = re.compile(r"NVRM: (?:GPU |The NVIDIA GPU )((?:[0-9a-fA-F]{1,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2})\.0(:\s+GPU has fallen off the bus)?")
_LOST_SECOND = re.compile(r"NVRM:\s+(?:\S.{0,120} )?fallen off the bus and is not responding to commands")
_SXID = re.compile(r"nvidia-nvswitch\d+: SXid \(PCI:([0-9a-fA-F:]+)(?:\.\d)?\): (\d{1,6}), (Fatal|Non-fatal), (.*)")
# The driver was loaded again, after which no GPU has an error of before.
_LOADED = re.compile(r"NVRM: loading NVIDIA UNIX ")
# XID 154: "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)".
_RECOVERED = re.compile(r"GPU recovery action changed from .* to 0x0 ")
_PATTERN = "NVRM: Xid|NVRM: GPU |NVRM: The NVIDIA GPU|fallen off the bus|NVRM: loading NVIDIA|SXid"
_INTERESTING = re.compile(_PATTERN)
_FALLEN = 79

Line = t.Tuple[float, str]


def address(bus: str) -> str:
    """Return a PCI address in one form, domain:bus:device. nvidia-smi writes 00000000:9B:00.0, and the kernel PCI:0000:9b:00."""
    parts = bus.lower().partition(".")[0].split(":")
    if len(parts) == 2:
        parts = ["0", *parts]
    return f"{parts[0][-4:].zfill(4)}:{parts[1]}:{parts[2]}" if len(parts) == 3 else bus.lower()


def events(lines: t.Iterable[Line]) -> list[dict[str, t.Any]]:
    """Return the errors in the lines of a kernel log, oldest line first: each with C(kind) (xid or sxid), C(code), C(bus) (PCI address), C(count),
    C(time) of the last one in seconds since 1970, C(text) of it, and C(fatal) for an SXid. The newest come first.

    Leaves out errors from before the driver was last loaded, and those of a GPU from before the driver reported that it has recovered.
    """
    found: dict[tuple[str, str, int], dict[str, t.Any]] = {}
    fallen = ""
    for when, text in lines:
        if _LOADED.match(text):
            found = {key: event for key, event in found.items() if key[0] == "sxid"}
            continue
        xid, sxid, lost = _XID.match(text), _SXID.match(text), _LOST.match(text)
        if xid:
            bus, code = address(xid[1]), int(xid[2])
            if code == 154 and _RECOVERED.search(xid[3]):
                found = {key: event for key, event in found.items() if key[:2] != ("xid", bus)}
                continue
            _count(found, "xid", bus, code, when, xid[3])
        elif sxid:
            _count(found, "sxid", address(sxid[1]), int(sxid[2]), when, sxid[4], sxid[3] == "Fatal")
        elif lost and lost[2]:
            _once(found, address(lost[1]), when)
        elif lost:
            # A message of three lines, of which the first has the address and the last one says what happened.
            fallen = address(lost[1])
            continue
        elif _LOST_SECOND.match(text) and fallen:
            _once(found, fallen, when)
        else:
            continue
        fallen = ""
    return sorted(found.values(), key=lambda event: -float(event["time"]))[:MOST_EVENTS]


def _count(found: dict[tuple[str, str, int], dict[str, t.Any]], kind: str, bus: str, code: int, when: float, text: str, fatal: bool = False) -> None:
    event = found.setdefault((kind, bus, code), {"kind": kind, "code": code, "bus": bus, "count": 0, "fatal": False})
    event.update(count=event["count"] + 1, time=when, text=_printable(text), fatal=event["fatal"] or fatal)


def _once(found: dict[tuple[str, str, int], dict[str, t.Any]], bus: str, when: float) -> None:
    """Count a GPU as fallen off the bus. The driver reports that in several lines, of which only one has the XID."""
    if ("xid", bus, _FALLEN) not in found:
        _count(found, "xid", bus, _FALLEN, when, "GPU has fallen off the bus")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:_SHOWN])


def parse_journal(text: str) -> list[Line]:
    """Return time and message of each entry of C(journalctl -o json). Leaves out what is not an entry, such as a last line that was cut."""
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            message = entry["MESSAGE"]
            # A message that is not UTF-8 is a list of bytes; one that is too long is null.
            text_of = bytes(message).decode(errors="replace") if isinstance(message, list) else message
            if isinstance(text_of, str):
                found.append((int(entry["__REALTIME_TIMESTAMP"]) / 1e6, text_of))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


_DMESG = re.compile(r"(?:<\d+>)?\[\s*(\d+\.\d+)\] ?(.*)")


def parse_dmesg(text: str, booted: float) -> list[Line]:
    """Return time and message of each line of dmesg. C(booted) is the time of the boot, in seconds since 1970."""
    return [(booted + float(match[1]), match[2]) for match in map(_DMESG.match, text.splitlines()) if match]


def read() -> tuple[list[dict[str, t.Any]], str]:
    """Return the errors since the last boot, and why they could not be read; empty when they could."""
    base = ["journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE", f"--lines={MOST_LINES}"]
    text, error = _run([*base, f"--grep={_PATTERN}", "--case-sensitive=yes"])
    if "pattern matching" in error:
        # A journalctl that was built without it.
        text, error = _run(base)
    if text and not error:
        return events(_interesting(parse_journal(text))), ""
    # No error, or a journal without messages of the kernel (of a container, with ReadKMsg=no, or one that this account cannot read).
    if not error and _run([*base, "--lines=1"])[0]:
        return [], ""
    buffer, failed = _run(["dmesg"])
    if failed:
        return [], f"{error or 'the journal has no messages of the kernel'}; {failed}"
    return events(_interesting(parse_dmesg(buffer, time.time() - _uptime()))), ""


def _interesting(lines: list[Line]) -> list[Line]:
    return [line for line in lines if _INTERESTING.search(line[1])]


def _uptime() -> float:
    try:
        return float(_reading.read_text("/proc/uptime").split()[0])
    except (ValueError, IndexError):
        return 0.0


def _run(command: t.Sequence[str]) -> tuple[str, str]:
    """Return the output of a command, and why there is none. Reads no longer than C(SECONDS), and no more than C(MOST_BYTES)."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return "", f"{command[0]} cannot be started: {error.strerror}"
    outputs = {t.cast(t.BinaryIO, process.stdout).fileno(): b"", t.cast(t.BinaryIO, process.stderr).fileno(): b""}
    waiting = list(outputs)
    deadline = time.monotonic() + SECONDS
    is_full = False
    while waiting and not is_full:
        ready = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))[0]
        if not ready:
            break
        for number in ready:
            piece = os.read(number, 1024 * 1024)
            outputs[number] += piece
            is_full = is_full or len(outputs[number]) > MOST_BYTES
            if not piece:
                waiting.remove(number)
    late = bool(waiting) and not is_full
    if late or is_full or process.poll() is None:
        _end(process, late or is_full)
    out, err = outputs.values()
    t.cast(t.BinaryIO, process.stdout).close()
    t.cast(t.BinaryIO, process.stderr).close()
    if late:
        return "", f"{command[0]} did not end within {SECONDS:.0f} s"
    said = _printable(err.decode(errors="replace").strip())
    # journalctl ends with status 1 when no line matches.
    return out.decode(errors="replace"), f"{command[0]}: {said}" if process.returncode != 0 and said else ""


def _end(process: subprocess.Popen[bytes], kill: bool) -> None:
    """Wait for a command's end, or kill it; one that waits in the kernel is abandoned."""
    try:
        if not kill:
            process.wait(timeout=1)
            return
    except subprocess.TimeoutExpired:
        pass
    process.kill()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        pass
