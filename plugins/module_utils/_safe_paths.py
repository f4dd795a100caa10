# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safe access of root to paths in folders that others may write: through open folders, never through a path that others may replace in between.

A link is followed only if root owns it and only root may write its folder: then an administrator has created it. Every other link
is an error, because whoever may write the folder could direct root to any file of the host.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
import typing as t

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# For parent folders: the account may lack read permission, for example on a folder with mode 0711.
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a fifo without a writer would block for ever.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS = 40
# The mode of a folder during a change of its owner.
CUT_OFF = (0o700,)
# Modes of the folder with Ray's sockets, which belongs to root and a service's group.
RAY = (0o700, 0o770)
# Comments of accounts: prefix of a service's own (its name follows), and that of the account that all services once shared.
_OF_A_SERVICE, _OF_ALL = "inferops service ", "inferops model services"
# Limit for a file in bytes; a manifest of a thousand files has 300 kB.
MOST_BYTES = 64 * 1024 * 1024


class Unsafe(OSError):
    """A path that another account may have manipulated."""


def open_folder(path: str) -> int:
    """Return a descriptor of a folder. Raises OSError; Unsafe when the path has an untrusted link."""
    return _walk(path, None)


def open_or_make(path: str) -> int:
    """Return a descriptor of a folder; a missing folder is created for root alone. Raises OSError."""
    return _walk(path, 0o700)


def make_folder(path: str, uid: int, gid: int, mode: int) -> int:
    """Return a descriptor of a folder with this owner, group and mode; a missing folder is created.

    Missing parents are created too, owned by root, so that only root can replace the folder. Raises OSError.
    """
    folder = _walk(path, mode)
    try:
        give(folder, uid, gid, mode)
    except OSError:
        os.close(folder)
        raise
    return folder


def give(folder: int, uid: int, gid: int, mode: int) -> None:
    """Set owner, group and mode of an open folder. Raises OSError."""
    found = os.fstat(folder)
    if (found.st_uid, found.st_gid) != (uid, gid):
        os.fchown(folder, uid, gid)
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(folder, mode)


def stat_folder(path: str) -> os.stat_result | None:
    """Return the stat result of a folder; None when it does not exist. Raises OSError, and NotADirectoryError when it is something else."""
    try:
        folder = open_folder(path)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(folder)
    finally:
        os.close(folder)


def open_above(path: str) -> tuple[int, str]:
    """Return a descriptor of a path's parent folder, and the name in it. Raises OSError."""
    above, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise Unsafe(errno.EINVAL, "not a path with a file name", path)
    return open_folder(above), name


def read_bytes(path: str, of_folders_owner: bool = False) -> bytes:
    """Return the content of a regular file that another account may have created. Raises OSError, also for links, fifos, devices and too large files.

    :param of_folders_owner: refuse a file whose owner is not that of its folder, for example a hard link to another account's file
    """
    folder, name = open_above(path)
    try:
        with os.fdopen(os.open(name, FILE, dir_fd=folder), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Unsafe(errno.EINVAL, "not a regular file", path)
            if of_folders_owner and found.st_uid != os.fstat(folder).st_uid:
                raise Unsafe(errno.EPERM, "the file and its folder have different owners", path)
            data = file.read(MOST_BYTES + 1)
    finally:
        os.close(folder)
    if len(data) > MOST_BYTES:
        raise Unsafe(errno.EFBIG, f"the file has more than {MOST_BYTES} bytes", path)
    return data


def read_text(path: str, of_folders_owner: bool = False) -> str:
    """Return the text of a regular file like C(read_bytes); empty when it cannot be read."""
    try:
        return read_bytes(path, of_folders_owner).decode("utf-8", "replace")
    except OSError:
        return ""


def exists(path: str) -> bool:
    """Whether a path exists; a dangling link counts."""
    try:
        folder, name = open_above(path)
    except OSError:
        return False
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    except OSError:
        return False
    finally:
        os.close(folder)


def remove(path: str) -> bool:
    """Remove a path with its contents, and return whether it existed. Removes a link, not its target.

    Raises OSError.
    """
    try:
        folder, name = open_above(path)
    except FileNotFoundError:
        return False
    try:
        return remove_in(folder, name, path)
    finally:
        os.close(folder)


def remove_in(folder: int, name: str, path: str) -> bool:
    """Remove an entry of an open folder, and return whether it existed. C(path) is for messages. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=folder)
        return True
    # rm works with open folders, follows no links, and handles trees that are too deep for Python's recursion.
    # /proc/self, not /proc/PID: a process that has switched to another account may not read the latter.
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", "./" + name], cwd=f"/proc/self/fd/{folder}", capture_output=True, text=True, check=False,
    )
    if done.returncode != 0:
        raise OSError(errno.EIO, (done.stderr.splitlines() or ["rm failed"])[-1], path)
    return True


def empty(folder: int, path: str) -> None:
    """Remove the contents of an open folder. C(path) is for messages. Raises OSError."""
    for name in os.listdir(folder):
        remove_in(folder, name, os.path.join(path, name))


def accounts_of(*names: str) -> set[int]:
    """Return the ids of these accounts, and of accounts that were created under other names for the same service or for all services."""
    found = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in names:
        try:
            found[name] = pwd.getpwnam(name)
        except KeyError:
            pass  # It was removed, or is not created yet.
    comments = {found[name].pw_gecos for name in names if name in found and found[name].pw_gecos.startswith(_OF_A_SERVICE)} | {_OF_ALL}
    return {entry.pw_uid for entry in found.values() if entry.pw_name in names or entry.pw_gecos in comments} - {0}


def refuse_others(folder: int, path: str, owners: t.Collection[int], modes: t.Collection[int], wholly: bool) -> None:
    """Raise Unsafe unless a service may take over an open folder: one of its accounts owns it, or root does and it is empty or a change was interrupted.

    :param owners: ids of the service's accounts
    :param modes: modes of a folder of root that may have been theirs, if one of them owns something in it
    :param wholly: whether they must own everything in such a folder, since it will be emptied
    """
    found = os.fstat(folder)
    if found.st_uid in owners:
        return
    if found.st_uid != os.geteuid():
        raise Unsafe(errno.EPERM, f"it belongs to another account (user id {found.st_uid}). Move it away, or set another path", path)
    inside = {os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid for name in os.listdir(folder)}
    theirs = inside <= set(owners) if wholly else bool(inside & set(owners))
    if inside and not (stat.S_IMODE(found.st_mode) in modes and theirs):
        raise Unsafe(errno.EPERM, "it belongs to root, and its contents do not belong to this service. Move it away, or set another path", path)


def hand_over(path: str, uid: int, gid: int, mode: int, former: t.Collection[int]) -> list[str]:
    """Change the owner of a folder with its contents to an account, and return the files that were removed instead. Does nothing if it owns the folder.

    Meanwhile root owns the folder, and nobody else can enter it; the owner of the folder itself changes last. So an interrupted change is
    recognised and repeated. Only files of the C(former) accounts change their owner. A file with several hard links is removed: it may also be
    another account's file elsewhere. Links, sockets and the like do not change. Raises OSError; Unsafe when another account owns the folder.
    """
    folder = _walk(path, mode)
    taken: list[str] = []
    try:
        found = os.fstat(folder)
        if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) != (uid, gid, mode):
            if found.st_uid != uid:
                owners = {uid, *former} - {os.geteuid()}
                refuse_others(folder, path, owners, CUT_OFF, wholly=False)
                give(folder, os.geteuid(), os.getegid(), 0o700)
                _hand_over_in(folder, path, uid, gid, owners, taken, found.st_dev)
            give(folder, uid, gid, mode)
    finally:
        os.close(folder)
    return taken


def _hand_over_in(folder: int, path: str, uid: int, gid: int, owners: set[int], taken: list[str], device: int) -> None:
    for name in os.listdir(folder):
        where = os.path.join(path, name)
        try:
            inner = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            continue
        try:
            found = os.fstat(inner)
            if found.st_dev != device or found.st_uid not in owners:
                continue
            if stat.S_ISDIR(found.st_mode):
                opened = os.open(".", FOLDER, dir_fd=inner)
                try:
                    _hand_over_in(opened, where, uid, gid, owners, taken, device)
                    os.fchown(opened, uid, gid)
                finally:
                    os.close(opened)
            elif stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                os.unlink(name, dir_fd=folder)
                taken.append(where)
            elif stat.S_ISREG(found.st_mode):
                # Through the descriptor, not the name, which may be another file by now.
                os.chown(f"/proc/self/fd/{inner}", uid, gid)
        finally:
            os.close(inner)


def _walk(path: str, make: int | None) -> int:
    """Return a descriptor of a folder. C(make) is the mode for creating a missing folder, None to create nothing."""
    if not path.startswith("/"):
        raise Unsafe(errno.EINVAL, "not an absolute path", path)
    rest = _parts(path)
    here = os.open("/", FOLDER)
    links = 0
    try:
        while rest:
            name = rest.pop()
            try:
                there = _enter(here, name, path, _ON_THE_WAY if rest else FOLDER)
            except FileNotFoundError:
                if make is None:
                    raise
                try:
                    # For root alone, until the owner is set.
                    os.mkdir(name, 0o755 if rest else make & 0o700, dir_fd=here)
                except FileExistsError:
                    pass  # Another run has created it.
                there = os.open(name, FOLDER, dir_fd=here)
                if rest:
                    os.fchmod(there, 0o755)
            if isinstance(there, str):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                rest += _parts(there)
                there = os.open("/", FOLDER) if there.startswith("/") else os.dup(here)
            os.close(here)
            here = there
    except OSError:
        os.close(here)
        raise
    return here


def _parts(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _enter(here: int, name: str, path: str, flags: int) -> int | str:
    """Return a descriptor of a folder in another, or the target of a trusted link. Raises OSError."""
    try:
        return os.open(name, flags, dir_fd=here)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{name} exists, but is not a directory. Move it away or set another path", path)
    if not _is_roots(os.fstat(here)) or found.st_uid not in (0, os.geteuid()):
        raise Unsafe(errno.ELOOP, f"{name} is a link in a folder that other accounts than root may write, so it is not followed. Remove the link", path)
    return os.readlink(name, dir_fd=here)


def _is_roots(folder: os.stat_result) -> bool:
    """Whether only root (in tests the present account) may change the entries of a folder."""
    return folder.st_uid in (0, os.geteuid()) and not folder.st_mode & 0o022
