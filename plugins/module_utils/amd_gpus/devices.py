# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The device files of AMD GPUs, and the groups that a service's account needs to open them."""

from __future__ import annotations

import glob
import grp
import os
import stat
import typing as t

PATTERNS = ("/dev/kfd", "/dev/dri/renderD*")
_FOR_ALL, _FOR_GROUP = 0o006, 0o060


def groups(patterns: t.Iterable[str] = PATTERNS) -> tuple[list[str], list[str]]:
    """Return the groups that may read and write the devices, and the devices that root alone may open."""
    names: set[str] = set()
    closed = []
    for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
        try:
            found = os.stat(path, follow_symlinks=False)
            group = grp.getgrgid(found.st_gid).gr_name
        except (OSError, KeyError):
            closed.append(path)
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & _FOR_ALL == _FOR_ALL:
            continue
        if mode & _FOR_GROUP == _FOR_GROUP and found.st_gid != 0:
            names.add(group)
        else:
            closed.append(path)
    return sorted(names), closed
