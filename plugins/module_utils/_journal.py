# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find in the journal of a program that died what it died of: the one line that a person looks for among the tracebacks."""

from __future__ import annotations

import re
import typing as t

# vLLM says which of its processes speaks, and its logger which line of code: "(EngineCore pid=7) ERROR 11-21 14:00:00 [core.py:866] ".
# Ray puts its own name for the process before that.
_SPEAKER = re.compile(r"^(?:\([\w .]+ pid=\d+[^)]*\) )*(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?")
# The last line of a traceback, which stands at its left edge.
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Exit|OutOfMemory\w*)(?:: .*|$)")
# What a command line was refused with, by argparse and by click.
_REFUSAL = re.compile(r"^(?:[\w .-]+: )?error: .+|^Error: .+", re.IGNORECASE)
# What the supervisor of a service over several hosts says of a part that did nothing wrong itself (roles/ray/files/span_part.py).
_SUPERVISOR = re.compile(r"^failed: (.+)")
# Said by the process that waited for the one that died, and by the server about its task that ended.
_CONSEQUENCE = re.compile(
    r"Engine core initialization failed|EngineCore encountered an issue|Failed core proc|WorkerProc initialization failed|EngineDeadError|"
    r"^SystemExit|CancelledError|BrokenPipeError|See (?:the )?(?:root cause|stack trace)"
)
_LONGEST = 500


def cause(lines: t.Sequence[str]) -> str:
    """Return the exception that the program died of, without its traceback, or what it had against its command line; empty where neither is there.

    Of several exceptions that are told of it is the last but for those that merely follow from another one.
    """
    said = [_SPEAKER.sub("", line).rstrip() for line in lines]
    for pattern in (_EXCEPTION, _REFUSAL):
        found = [line for line in said if pattern.match(line)]
        chosen = [line for line in found if not _CONSEQUENCE.search(line)] or found
        if chosen:
            return chosen[-1][:_LONGEST]
    told = [match[1] for match in map(_SUPERVISOR.match, said) if match]
    return told[-1][:_LONGEST] if told else ""
