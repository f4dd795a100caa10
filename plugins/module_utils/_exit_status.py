# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An exit status in words: of a program that a signal ended, the signal and its usual cause.
"""

from __future__ import annotations

import signal

# signal(7) has the meanings; the causes are what stands behind them on a host that serves models.
CAUSES: dict[str, str] = {
    "SIGKILL": "as a rule by the kernel, because the host or the unit's control group ran out of memory: journalctl -k -g 'out of memory' names the process",
    "SIGSEGV": "an error in native code (a kernel, an extension, the driver): journalctl -k -g segfault names the library",
    "SIGABRT": "native code gave up, and said why just before",
    "SIGBUS": "a file that is mapped into memory is cut off, or /dev/shm or the disk is full: see df /dev/shm",
    "SIGILL": "the processor lacks an instruction that the program was built for: see lscpu",
    "SIGFPE": "a division by zero in native code",
    "SIGSYS": "a system call that the unit's SystemCallFilter does not let pass: journalctl -k -g 'type=1326' names it",
    "SIGXFSZ": "a file grew beyond a limit of the unit or account (LimitFSIZE)",
    "SIGXCPU": "it used more processor time than a limit of the unit or account lets it (LimitCPU)",
    "SIGTERM": "somebody, or systemd, asked it to end",
    "SIGINT": "somebody interrupted it",
    "SIGHUP": "its terminal or session went away",
    "SIGPIPE": "who read its output went away",
}


def signal_of(status: int) -> int:
    """Return the number of the signal that ended a program, from a status as C(subprocess) or a shell (128 and more) has it; 0 when none did."""
    if status < 0:
        return -status
    number = status - 128
    try:
        # A program may end with such a status by itself; those that shells give are of the signals above.
        return number if number > 0 and signal.Signals(number).name in CAUSES else 0
    except ValueError:
        return 0


def describe(status: int) -> str:
    """Return how a program ended, as the end of a sentence: C(ended with status 3), C(was killed by SIGKILL (...))."""
    number = signal_of(status)
    if not number:
        return f"ended with status {status}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"was killed by signal {number}"
    cause = CAUSES.get(name, "")
    return f"was killed by {name}{f' ({cause})' if cause else ''}"
