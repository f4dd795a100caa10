# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe an exit status; for a program that a signal has killed, the signal and its usual cause.
"""

from __future__ import annotations

import signal

# signal(7) has the meanings; these are the usual causes on a host that serves models.
CAUSES: dict[str, str] = {
    "SIGKILL": "usually by the kernel, because the host or the unit's control group ran out of memory: journalctl -k -g 'out of memory' shows the process",
    "SIGSEGV": "an error in native code (a kernel, an extension, the driver): journalctl -k -g segfault shows the library",
    "SIGABRT": "native code aborted; the lines before this have the reason",
    "SIGBUS": "a memory-mapped file was truncated, or /dev/shm or the disk is full: see df /dev/shm",
    "SIGILL": "the CPU does not support an instruction of the program: see lscpu",
    "SIGFPE": "a division by zero in native code",
    "SIGSYS": "a system call that the unit's SystemCallFilter blocks: journalctl -k -g 'type=1326' shows it",
    "SIGXFSZ": "a file grew beyond a limit of the unit or account (LimitFSIZE)",
    "SIGXCPU": "it exceeded a CPU time limit of the unit or account (LimitCPU)",
    "SIGTERM": "systemd or a user stopped it",
    "SIGINT": "a user interrupted it",
    "SIGHUP": "its terminal or session was closed",
    "SIGPIPE": "the reader of its output has exited",
}


def signal_of(status: int) -> int:
    """Return the number of the signal that killed a program, from a status of C(subprocess) or of a shell (128 and more); 0 when none did."""
    if status < 0:
        return -status
    number = status - 128
    try:
        # A program may exit with such a status by itself; only those for the signals above count.
        return number if number > 0 and signal.Signals(number).name in CAUSES else 0
    except ValueError:
        return 0


def describe(status: int) -> str:
    """Return how a program ended, to complete a sentence: C(ended with status 3), C(was killed by SIGKILL (...))."""
    number = signal_of(status)
    if not number:
        return f"ended with status {status}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"was killed by signal {number}"
    cause = CAUSES.get(name, "")
    return f"was killed by {name}{f' ({cause})' if cause else ''}"
