# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host library: a copy of these modules on a host, for the programs that units run.

    <install>/lib/<digest>/__main__.py      runs a program (_main.py)
    <install>/lib/<digest>/inferops_gpu/    the modules
    <install>/lib/current                   a link to the current one

A folder gets its name when it is complete, and does not change afterwards. Units use C(current), so a new library alone restarts no
service; a program resolves the link once, at its start, and imports only from that folder. A later library therefore has to accept the arguments
with which units of an earlier one call its programs.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import re
import shutil
import typing as t

from . import _host, _reading, _writing

PACKAGE = "inferops_gpu"
CURRENT = "current"
_DIGITS = 16
# A library that was changed on the host keeps its name while programs run from it; the new one beside it has a number.
_FOLDER = re.compile(r"[0-9a-f]{16}(?:-\d+)?")
_UNFINISHED = ".new-"
# Programs of versions before the library: single files in the same folder.
_PROGRAM = "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)"
_FETCH = "fetch_weights"


def root() -> str:
    """Return the folder on the host that this library was loaded from."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def program_of(command: t.Sequence[str]) -> str:
    """Return the name of the program that a command runs, of the library or another one."""
    names = (name for folder, name in zip(command, command[1:]) if os.path.basename(folder) == CURRENT)
    return next(names, os.path.basename(command[0]))


def digest(hashes: t.Mapping[str, str]) -> str:
    """Return the name of a library: a checksum of its files' paths and sha256."""
    rows = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
    return hashlib.sha256(rows.encode()).hexdigest()[:_DIGITS]


def in_force(library: str) -> str:
    """Return the digest of the current library, computed from its present files; empty when there is none."""
    current = os.path.join(library, CURRENT)
    return _digest_of(current) if os.path.islink(current) and os.path.isdir(current) else ""


def _digest_of(folder: str) -> str:
    found = {}
    for path, folders, names in os.walk(folder):
        # Without Python's bytecode.
        folders[:] = [name for name in folders if name != "__pycache__"]
        found.update({os.path.relpath(os.path.join(path, name), folder): _reading.digest(os.path.join(path, name)) for name in names})
    return digest(found)


def install(library: str, files: t.Mapping[str, bytes]) -> None:
    """Install these files as the current library. Raises OSError."""
    name = digest({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})
    os.makedirs(library, mode=0o755, exist_ok=True)
    folder = os.path.join(library, name)
    for number in range(2, 100):
        if not os.path.lexists(folder) or _digest_of(folder) == name:
            break
        folder = os.path.join(library, f"{name}-{number}")
    if not os.path.isdir(folder):
        _write(os.path.join(library, _UNFINISHED + name), folder, files)
    _writing.replace_link(os.path.join(library, CURRENT), os.path.basename(folder))
    _sync(library)


def _write(unfinished: str, folder: str, files: t.Mapping[str, bytes]) -> None:
    """Write a library under a temporary name, sync it to the disk, and rename it."""
    shutil.rmtree(unfinished, ignore_errors=True)
    os.mkdir(unfinished)
    folders = {os.path.dirname(path) for path in files}
    for inner in sorted({"", *folders}):
        path = os.path.join(unfinished, inner)
        os.makedirs(path, exist_ok=True)
        # Every service's account reads it, so the mode must not depend on the umask.
        os.chmod(path, 0o755)
    for name, data in files.items():
        with open(os.path.join(unfinished, name), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    os.rename(unfinished, folder)


def _sync(folder: str) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(number)
    os.close(number)


def prune(library: str, state_dir: str) -> list[str]:
    """Remove the libraries that no program uses any more, and return their paths. Raises OSError.

    :param state_dir: state directory, with the last known good states of services
    """
    current = os.path.realpath(os.path.join(library, CURRENT))
    removed = []
    for path in folders(library):
        if os.path.basename(path) != CURRENT and os.path.realpath(path) != current and _remove(path):
            removed.append(path)
    return [*removed, *_prune_former(library, state_dir)]


def folders(library: str) -> list[str]:
    """Return the paths of the link to the current library, of all libraries, and of leftovers of interrupted runs."""
    try:
        names = sorted(os.listdir(library), key=lambda name: (name != CURRENT, name))
    except OSError:
        return []
    known = (CURRENT, CURRENT + _writing.UNFINISHED)
    return [os.path.join(library, name) for name in names if name in known or name.startswith(_UNFINISHED) or _FOLDER.fullmatch(name)]


def _remove(path: str) -> bool:
    """Remove a folder unless a program has locked it (_main.py); return whether it was removed."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return True
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(number)


def former_programs(library: str) -> list[str]:
    """Return the programs of versions before the library."""
    ours = [path for path in sorted(glob.glob(os.path.join(glob.escape(library), "*.py"))) if _host.read_text(path).startswith(_PROGRAM)]
    others = [os.path.join(library, name) for name in (_FETCH, *(["__pycache__"] if ours else []))]
    return [*ours, *(path for path in others if os.path.isdir(path))]


def _prune_former(library: str, state_dir: str) -> list[str]:
    """Remove them when nothing calls them: no managed unit, and no unit of a last known good state."""
    # Units of builds and downloads are rewritten before each start, except downloads that a reboot has interrupted.
    units = [path for path in glob.glob(os.path.join(_host.UNIT_DIRECTORY, "*.service")) if not os.path.basename(path).startswith("inferops-")]
    units += glob.glob(os.path.join(_host.UNIT_DIRECTORY, "*.wants", "inferops-*.service"))
    records = glob.glob(os.path.join(glob.escape(state_dir), "served", "*.json"))
    called = re.compile(re.escape(library.rstrip("/")) + rf"/(?:\w+\.py|{_FETCH})\b")
    if any(called.search(_host.read_text(path)) for path in (*units, *records)):
        return []
    going = former_programs(library)
    for path in going:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    return going
