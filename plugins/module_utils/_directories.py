# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners and modes of the directories that this collection creates."""

from __future__ import annotations

import grp
import itertools
import os
import pwd
import stat
import typing as t

from . import _safe_paths

# How many entries of a directory are read: a host has fewer services.
MOST = 1000


def describe(path: str) -> str | None:
    """Return owner:group mode of a directory, or None when it does not exist. Raises OSError when it is something else, or behind an untrusted link."""
    found = _safe_paths.stat_folder(path)
    if found is None:
        return None
    return f"{name_of(pwd.getpwuid, found.st_uid)}:{name_of(grp.getgrgid, found.st_gid)} {stat.S_IMODE(found.st_mode):04o}"


def name_of(look_up: t.Callable[[int], t.Any], number: int) -> str:
    """Return the name of a user or group id, or the number when it has none."""
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)


def read(bases: t.Iterable[str], deeper: t.Iterable[str]) -> dict[str, str]:
    """Return owner:group mode of some directories and of those directly in them, by path. Omits other files and untrusted links.

    :param bases: absolute paths; for those in C(deeper), the directories two levels down are read as well
    """
    wanted = [base for base in dict.fromkeys(bases) if os.path.isabs(base)]
    children = [child for base in wanted for child in _children(base)]
    grandchildren = [path for base in deeper for child in _children(base) for path in _children(child)]
    found = {}
    for path in dict.fromkeys([*wanted, *children, *grandchildren]):
        try:
            said = describe(path)
        except OSError:
            continue
        if said is not None:
            found[path] = said
    return found


def _children(base: str) -> list[str]:
    try:
        with os.scandir(base) as entries:
            return sorted(entry.path for entry in itertools.islice(entries, MOST) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
