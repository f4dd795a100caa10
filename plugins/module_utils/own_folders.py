# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See that a service's folders are its account's. Run as root by the service's unit before each start, when nothing of the unit runs.

    own_folders --user=USER --group=GROUP [--former=USER]... [--folder=PATH]... [--ray=PATH] [--memory=NAME]

Folders that belong to another account, as those of a unit from before each service had one of its own, are handed over with all that is in them.
Of what Ray and engines leave in --ray and --memory nothing is kept from one account to the next: each start begins without it anyway.

Run it with C(python3 -EsB): the unit's HOME is the service's own, and what Python would load from there is not for root.
"""

from __future__ import annotations

import argparse
import fcntl
import grp
import os
import pwd
import sys

from . import _safe_paths

# The units of one service may start at the same time, and share folders.
LOCK = "/run/inferops/own_folders.lock"
# The host's own, whatever the unit has there.
SHARED_MEMORY = "/proc/1/root/dev/shm"
MODE = 0o750


def own_ray(path: str, gid: int, owners: set[int]) -> None:
    """Make the folder that Ray keeps its sockets and logs in: root's, for the service's group alone. Ray opens a folder of its own to everybody.

    Only what was the service's before is emptied. Raises OSError.
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
    """Create a directory in the host's shared memory, where everybody may create one: one of another account is refused. Raises OSError."""
    above = os.open(SHARED_MEMORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            pass
        try:
            folder = os.open(name, _safe_paths.FOLDER, dir_fd=above)
        except OSError as error:
            raise OSError(error.errno, f"/dev/shm/{name} is no folder: somebody else has put it there. Take it away") from error
        try:
            found = os.fstat(folder)
            if found.st_uid not in {uid, os.geteuid(), *former}:
                raise OSError(f"/dev/shm/{name} belongs to somebody else (user id {found.st_uid}). Take it away")
            if found.st_uid != uid:
                _safe_paths.give(folder, os.geteuid(), os.getegid(), 0o700)
                _safe_paths.empty(folder, f"/dev/shm/{name}")
            _safe_paths.give(folder, uid, gid, 0o700)
        finally:
            os.close(folder)
    finally:
        os.close(above)


def main() -> int:
    """Do it, and say in the journal what was taken away."""
    parser = argparse.ArgumentParser(description="See that a service's folders are its account's.", allow_abbrev=False)
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
        print(f"own_folders: {error.args[0]}; run the playbook again, which makes it", file=sys.stderr)
        return 1
    former = _safe_paths.accounts_of(given.user, *given.former)
    try:
        os.close(_safe_paths.make_folder(os.path.dirname(LOCK), os.geteuid(), os.getegid(), 0o700))
        with open(LOCK, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for path in given.folder:
                for taken in _safe_paths.hand_over(path, uid, gid, MODE, former):
                    print(f"taken away, since it has other names elsewhere: {taken}", flush=True)
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
