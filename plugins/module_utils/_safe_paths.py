# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How root touches paths in folders that somebody else may write: by open folders, never by a name that may mean something else a moment later.

A link is followed only where it lies in a folder that root alone may write, and is root's: an administrator put it there. Everywhere else a link
is an error, since whoever may write the folder could lead root to any file of the host with it.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
import typing as t

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# One on the way to another: an account need not be able to read it, as root's with mode 0711.
_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A fifo without a writer would keep who opens it for ever, but for O_NONBLOCK.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS = 40
# The mode of a folder that is being handed over.
CUT_OFF = (0o700,)
# Of a folder that Ray keeps its sockets in, which is root's, for the group of a service.
RAY = (0o700, 0o770)
# Comments of accounts: of a service's (what follows is its name), and of the one that all services had together.
_OF_A_SERVICE, _OF_ALL = "inferops service ", "inferops model services"
# Bytes of a file that is read; a manifest of a thousand files has 300 kB.
MOST_BYTES = 64 * 1024 * 1024


class Unsafe(OSError):
    """Something that somebody else may have put in root's way."""


def open_folder(path: str) -> int:
    """Return a descriptor of a folder, however its path leads there. Raises OSError; Unsafe where a link is not to be trusted."""
    return _walk(path, None)


def open_or_make(path: str) -> int:
    """Return a descriptor of a folder as it is, or of a new one for root alone where it is missing. Raises OSError."""
    return _walk(path, 0o700)


def make_folder(path: str, uid: int, gid: int, mode: int) -> int:
    """Return a descriptor of a folder, made where it is missing, with this owner, group and mode in any case.

    Missing folders above it are made too, as root's, so that nobody but root may put something else in its place. Raises OSError.
    """
    folder = _walk(path, mode)
    try:
        give(folder, uid, gid, mode)
    except OSError:
        os.close(folder)
        raise
    return folder


def give(folder: int, uid: int, gid: int, mode: int) -> None:
    """Give an open folder this owner, group and mode. Raises OSError."""
    found = os.fstat(folder)
    if (found.st_uid, found.st_gid) != (uid, gid):
        os.fchown(folder, uid, gid)
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(folder, mode)


def stat_folder(path: str) -> os.stat_result | None:
    """Return what is known of a folder; None where nothing is there. Raises OSError, NotADirectoryError where something else is."""
    try:
        folder = open_folder(path)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(folder)
    finally:
        os.close(folder)


def open_above(path: str) -> tuple[int, str]:
    """Return a descriptor of the folder that something lies in, and its name there. Raises OSError."""
    above, name = os.path.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise Unsafe(errno.EINVAL, "this is not the path of something in a folder", path)
    return open_folder(above), name


def read_bytes(path: str, of_folders_owner: bool = False) -> bytes:
    """Return the content of a plain file that somebody else may have put there. Raises OSError: a link, a fifo or a device is none, nor is what is too large.

    :param of_folders_owner: refuse a file whose owner is not that of its folder, as a hard link to somebody else's file is
    """
    folder, name = open_above(path)
    try:
        with os.fdopen(os.open(name, FILE, dir_fd=folder), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Unsafe(errno.EINVAL, "this is not a plain file", path)
            if of_folders_owner and found.st_uid != os.fstat(folder).st_uid:
                raise Unsafe(errno.EPERM, "this file belongs to somebody else than its folder", path)
            data = file.read(MOST_BYTES + 1)
    finally:
        os.close(folder)
    if len(data) > MOST_BYTES:
        raise Unsafe(errno.EFBIG, f"this file has more than {MOST_BYTES} bytes", path)
    return data


def read_text(path: str, of_folders_owner: bool = False) -> str:
    """Return the text of a plain file as C(read_bytes) does; empty where it can't be read."""
    try:
        return read_bytes(path, of_folders_owner).decode("utf-8", "replace")
    except OSError:
        return ""


def exists(path: str) -> bool:
    """Tell whether something is at a path, be it a link that leads nowhere."""
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
    """Take away what is at a path, with all that is in it, and return whether something was there. A link goes itself, not what it leads to.

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
    """Take away what has a name in an open folder, and return whether something was there. C(path) is for messages. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=folder)
        return True
    # rm goes by open folders, follows no link, and is not stopped by a tree that is made deeper than Python can recurse.
    # /proc/self: its own, since a process that became another account may not look into that of its number.
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", "./" + name], cwd=f"/proc/self/fd/{folder}", capture_output=True, text=True, check=False,
    )
    if done.returncode != 0:
        raise OSError(errno.EIO, (done.stderr.splitlines() or ["rm failed"])[-1], path)
    return True


def empty(folder: int, path: str) -> None:
    """Take away all that is in an open folder. C(path) is for messages. Raises OSError."""
    for name in os.listdir(folder):
        remove_in(folder, name, os.path.join(path, name))


def accounts_of(*names: str) -> set[int]:
    """Return the ids of these accounts, as far as they are there, and of those that were made for the same service, or for all of them, under another name."""
    found = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in names:
        try:
            found[name] = pwd.getpwnam(name)
        except KeyError:
            pass  # It is gone, or still to come.
    comments = {found[name].pw_gecos for name in names if name in found and found[name].pw_gecos.startswith(_OF_A_SERVICE)} | {_OF_ALL}
    return {entry.pw_uid for entry in found.values() if entry.pw_name in names or entry.pw_gecos in comments} - {0}


def refuse_others(folder: int, path: str, owners: t.Collection[int], modes: t.Collection[int], wholly: bool) -> None:
    """Raise Unsafe where an open folder may not be taken for a service: only one of its accounts', an empty one of root's, or one that was cut off may.

    :param owners: ids of its accounts
    :param modes: of a folder of root's that may have been theirs, where one of them has something in it
    :param wholly: all that is in such a one has to be theirs, since it is going to be emptied
    """
    found = os.fstat(folder)
    if found.st_uid in owners:
        return
    if found.st_uid != os.geteuid():
        raise Unsafe(errno.EPERM, f"it belongs to somebody else (user id {found.st_uid}). Move it away, or set another path", path)
    inside = {os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid for name in os.listdir(folder)}
    theirs = inside <= set(owners) if wholly else bool(inside & set(owners))
    if inside and not (stat.S_IMODE(found.st_mode) in modes and theirs):
        raise Unsafe(errno.EPERM, "it is root's, and what is in it is not of this service. Move it away, or set another path", path)


def hand_over(path: str, uid: int, gid: int, mode: int, former: t.Collection[int]) -> list[str]:
    """Give a folder with all that is in it to an account, and return the files that were taken away instead. Nothing is done where it has it already.

    While this is at work the folder is root's, and nobody else gets in; the new owner gets the folder itself last. So one that was cut off is
    known, and done again. Only what belongs to the C(former) accounts changes hands. A file with further names is taken away: it may lie elsewhere
    too, as somebody else's. Links, sockets and the like stay as they are. Raises OSError; Unsafe where the folder is somebody else's.
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
                # By what was looked at, not by its name, which may be something else by now.
                os.chown(f"/proc/self/fd/{inner}", uid, gid)
        finally:
            os.close(inner)


def _walk(path: str, make: int | None) -> int:
    """Return a descriptor of a folder. C(make) is the mode of what is missing at its end, None where nothing is to be made."""
    if not path.startswith("/"):
        raise Unsafe(errno.EINVAL, "this is not an absolute path", path)
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
                    # Nobody else's before it is given away.
                    os.mkdir(name, 0o755 if rest else make & 0o700, dir_fd=here)
                except FileExistsError:
                    pass  # Another run was faster.
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
    """Return a descriptor of a folder in another, or where a link leads that may be followed. Raises OSError."""
    try:
        return os.open(name, flags, dir_fd=here)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{name} is there, but is not a directory. Move it away or set another path", path)
    if not _is_roots(os.fstat(here)) or found.st_uid not in (0, os.geteuid()):
        raise Unsafe(errno.ELOOP, f"{name} is a link in a folder that others than root may write, and root does not follow it. Take the link away", path)
    return os.readlink(name, dir_fd=here)


def _is_roots(folder: os.stat_result) -> bool:
    """Whether nobody but root (in tests, but the account that runs) may change what lies in a folder."""
    return folder.st_uid in (0, os.geteuid()) and not folder.st_mode & 0o022
