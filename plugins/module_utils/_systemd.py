# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Query systemd and the journal about a unit."""

from __future__ import annotations

import json
import subprocess
import typing as t

from . import _safe_paths
from ._exit_status import describe
from ._masking import masked

# How many characters of a message are shown. A longer part is masked first, so that no secret is truncated before it is recognised.
_SHOWN = 4000


def systemctl(*arguments: str) -> str:
    """Run systemctl and return its output. Raises RuntimeError with its message when it fails."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"systemctl {' '.join(arguments)}: {masked(done.stderr or done.stdout).strip() or describe(done.returncode)}")
    return done.stdout


def show(unit: str, *properties: str) -> dict[str, str]:
    """Return properties of a unit by name; a unit that does not exist has LoadState "not-found"."""
    return _parse(systemctl("show", "--property=" + ",".join(properties), unit), properties)


def show_all(units: t.Sequence[str], *properties: str) -> dict[str, dict[str, str]]:
    """Return the same for several units, by unit, from one call of systemctl."""
    # A block for each unit, in the order of the arguments.
    blocks = systemctl("show", "--property=" + ",".join(properties), *units).strip().split("\n\n")
    return {unit: _parse(block, properties) for unit, block in zip(units, blocks)}


def _parse(text: str, properties: t.Sequence[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    # systemctl omits properties without a value, such as Job when none is queued.
    return {**dict.fromkeys(properties, ""), **{name: value for name, _equals, value in pairs}}


def cpu_seconds(unit: str) -> float | None:
    """Return the CPU time that a unit's processes have used since its start; None when systemd does not count it."""
    try:
        found = show(unit, "CPUUsageNSec")["CPUUsageNSec"]
    except (RuntimeError, OSError):
        return None
    # The highest 64-bit number means that there is no value.
    return int(found) / 1e9 if found.isdigit() and int(found) < 2**64 - 1 else None


def journal(unit: str, invocation: str, lines: int, since: float = 0.0) -> list[str]:
    """Return the last messages of one start of a unit (of any start without an invocation id), including systemd's own, with secrets masked.

    :param since: seconds since the epoch of the oldest one; 0 for any
    """
    match = ["--unit=" + unit]
    if invocation:
        match = [f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"INVOCATION_ID={invocation}"]
    done = subprocess.run(
        ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={lines}", *([f"--since=@{since:.6f}"] if since else []), *match],
        capture_output=True, text=True, errors="replace", check=False,
    )
    return [_cut(masked(_cut(line, 2 * _SHOWN)), _SHOWN) for line in done.stdout.splitlines()]


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else line[:most] + "…"


def read_progress(path: str | None) -> dict[str, t.Any]:
    """Return the JSON object in a status file; empty when there is none yet.

    Some are in a folder that the program's account may write, and their text is shown: links, for example to root's files, are not followed.
    """
    if not path:
        return {}
    try:
        found = json.loads(_safe_paths.read_bytes(path, of_folders_owner=True))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
