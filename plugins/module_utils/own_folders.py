# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a service's account the owner of its folders. The service's unit runs this as root before each start, when no process of the unit runs.

    own_folders --user=USER --group=GROUP [--former=USER]... [--folder=PATH]... [--ray=PATH] [--memory=NAME]

Folders of another account, for example of a unit from before each service had its own account, get the new owner together with their contents.
When the account changes, the files of Ray and engines in --ray and --memory are removed: no start needs those of an earlier one.

Run it with C(python3 -EsB): the unit's HOME belongs to the service, and root must not load Python code from there.
"""

from __future__ import annotations

import argparse
import fcntl
import grp
import os
import pwd
import sys

from . import _safe_paths

# The units of one service share folders and may start at the same time.
LOCK = "/run/inferops/own_folders.lock"
# The host's shared memory, even if the unit has its own.
SHARED_MEMORY = "/proc/1/root/dev/shm"
MODE = 0o750


def own_ray(path: str, gid: int, owners: set[int]) -> None:
    """Create the folder for Ray's sockets and logs: owned by root, for the service's group alone. Ray would make its own folder accessible to everybody.

    Empties only a folder that the service had before. Raises OSError.
    """
    folder = _safe_paths.open_or_make(path)
    try:
        found = os.fstat(folder)
        if (found.st_uid, found.st_gid) == (os.geteuid(), gid):
            return
        _safe_paths.refuse_others(folder, path, owners, _safe_paths.RAY, wholly=True)
        _safe_paths.give(folder, os.geteuid(), os.getegid(), 0o700)
        _safe_paths.empty(folder, path)
        _safe_paths.give(folder, os.geteuid(), gid, 0o770)
    finally:
        os.close(folder)


def own_memory(name: str, uid: int, gid: int, former: set[int]) -> None:
    """Create a directory in the host's shared memory, where everybody may create files: refuse one of another account. Raises OSError."""
    above = os.open(SHARED_MEMORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            pass
        try:
            folder = os.open(name, _safe_paths.FOLDER, dir_fd=above)
        except OSError as error:
            raise OSError(error.errno, f"/dev/shm/{name} is not a directory, and was not created by this service. Remove it") from error
        try:
            found = os.fstat(folder)
            if found.st_uid not in {uid, os.geteuid(), *former}:
                raise OSError(f"/dev/shm/{name} belongs to another account (user id {found.st_uid}). Remove it")
            if found.st_uid != uid:
                _safe_paths.give(folder, os.geteuid(), os.getegid(), 0o700)
                _safe_paths.empty(folder, f"/dev/shm/{name}")
            _safe_paths.give(folder, uid, gid, 0o700)
        finally:
            os.close(folder)
    finally:
        os.close(above)


def main() -> int:
    """Set the owners, and print the removed files to the journal."""
    parser = argparse.ArgumentParser(description="Make a service's account the owner of its folders.", allow_abbrev=False)
    parser.add_argument("--user", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--former", action="append", default=[])
    parser.add_argument("--folder", action="append", default=[])
    parser.add_argument("--ray", default="")
    parser.add_argument("--memory", default="")
    given = parser.parse_args()
    try:
        uid, gid = pwd.getpwnam(given.user).pw_uid, grp.getgrnam(given.group).gr_gid
    except KeyError as error:
        print(f"own_folders: {error.args[0]}; run the playbook again, which creates it", file=sys.stderr)
        return 1
    former = _safe_paths.accounts_of(given.user, *given.former)
    try:
        os.close(_safe_paths.make_folder(os.path.dirname(LOCK), os.geteuid(), os.getegid(), 0o700))
        with open(LOCK, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for path in given.folder:
                for taken in _safe_paths.hand_over(path, uid, gid, MODE, former):
                    print(f"removed, because it has several hard links: {taken}", flush=True)
            if given.ray:
                own_ray(given.ray, gid, {uid, *former})
            if given.memory:
                own_memory(given.memory, uid, gid, former)
    except OSError as error:
        print(f"own_folders: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
