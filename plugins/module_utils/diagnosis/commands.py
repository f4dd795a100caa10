# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the commands that checks read from, each with a time limit, so that a failure is reported as unknown instead of an empty answer."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t

# Time limit of a command in seconds.
SECONDS = 10
# Modules may run with a PATH without the directories of root's tools.
PATH = ":".join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
# Limit for the output in characters.
LONGEST = 4 * 1024 * 1024


class Unread(Exception):
    """A command gave no usable answer: C(str()) is the reason."""


def is_installed(command: str) -> bool:
    """Whether a command exists."""
    return shutil.which(command, path=PATH) is not None


def output(*command: str, given: str = "", seconds: float = SECONDS, status: t.Collection[int] = (0,)) -> str:
    """Return what a command prints. Raises Unread when it is missing, fails or does not end in time.

    :param given: its standard input
    :param status: exit statuses that are no failure
    """
    path = shutil.which(command[0], path=PATH)
    if path is None:
        raise Unread(f"{command[0]} is not installed")
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
    try:
        process = subprocess.Popen(
            [path, *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=environment,
        )
    except OSError as problem:
        raise Unread(f"{command[0]} cannot be started: {problem.strerror}") from None
    try:
        said, complaint = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that waits in the kernel cannot be killed, and is abandoned.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        raise Unread(f"{command[0]} did not answer within {seconds:g} s") from None
    if process.returncode not in status:
        last = (complaint or said).strip().splitlines()[-1:]
        raise Unread(f"{command[0]} failed with status {process.returncode}" + (f": {last[0]}" if last else ""))
    return said[:LONGEST]
