# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units from before each service had its own account: they do not take over their folders themselves, so a rollback to one has to change the owner."""

from __future__ import annotations

import grp
import os
import pwd
import re
import typing as t

from . import _safe_paths

# The program with which units take over their folders (own_folders.py).
PROGRAM = "own_folders"
_MODE = 0o750
_SHARED_MEMORY = "/dev/shm"


def owns_folders(unit_text: str) -> bool:
    """Whether a unit takes over its folders by itself."""
    return PROGRAM in unit_text


def account_of(unit_text: str) -> tuple[str, str]:
    """Return the user and group in a unit's text; empty when it has none."""
    found = dict(re.findall(r"^(User|Group)=(\S+)$", unit_text, flags=re.MULTILINE))
    return found.get("User", ""), found.get("Group", "")


def missing_account(unit_text: str) -> str:
    """Return the user or group of a unit that does not exist on the host; empty when both exist."""
    user, group = account_of(unit_text)
    for name, look_up in ((user, pwd.getpwnam), (group, grp.getgrnam)):
        try:
            if name:
                look_up(name)
        except KeyError:
            return name
    return ""


def give_back(unit_text: str, own_folders: t.Sequence[str]) -> None:
    """Give a unit's account the folders that the command of a later unit of the same service has taken over. Raises OSError.

    :param own_folders: that command, whose arguments are the account and the folders
    """
    user, group = account_of(unit_text)
    words = [word.partition("=")[::2] for word in own_folders if word.startswith("--")]
    if not user or not group or not words:
        return
    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    later = {found for found in (_uid(value) for name, value in words if name == "--user") if found}
    for name, value in words:
        if name == "--folder":
            _safe_paths.hand_over(value, uid, gid, _MODE, later)
        elif name == "--ray":
            folder = _safe_paths.open_or_make(value)
            try:
                _safe_paths.refuse_others(folder, value, {uid, *later}, _safe_paths.RAY, wholly=True)
                _safe_paths.give(folder, os.geteuid(), os.getegid(), 0o700)
                _safe_paths.empty(folder, value)
                _safe_paths.give(folder, uid, gid, _MODE)
            finally:
                os.close(folder)
        elif name == "--memory" and "/" not in value:
            # The unit creates it again.
            _safe_paths.remove(os.path.join(_SHARED_MEMORY, value))


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
