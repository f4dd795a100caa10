# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host library: these modules as they lie on a host, for the programs that units run.

    <install>/lib/<digest>/__main__.py      runs a program (_main.py)
    <install>/lib/<digest>/inferops_gpu/    the modules
    <install>/lib/current                   a link to the one in force

A folder has its name when it is complete, and nothing in it changes from then on. Units name C(current), so that a new library alone restarts no
service; a program resolves it once, at its start, and imports from that folder alone. A later library therefore takes the words with which units
of an earlier one call its programs.
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
# One that was changed on the host keeps its name as long as programs run from it; the new one beside it has a number.
_FOLDER = re.compile(r"[0-9a-f]{16}(?:-\d+)?")
_UNFINISHED = ".new-"
# Programs of versions before the library, which lay beside each other.
_PROGRAM = "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)"
_FETCH = "fetch_weights"


def root() -> str:
    """Return the folder that this library was loaded from, as it lies on a host."""
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
    """Return the digest of the library that programs run from; empty where there is none. It is that of the files as they are now."""
    current = os.path.join(library, CURRENT)
    return _digest_of(current) if os.path.islink(current) and os.path.isdir(current) else ""


def _digest_of(folder: str) -> str:
    found = {}
    for path, folders, names in os.walk(folder):
        # Python's own, and whatever else root's programs leave there.
        folders[:] = [name for name in folders if name != "__pycache__"]
        found.update({os.path.relpath(os.path.join(path, name), folder): _reading.digest(os.path.join(path, name)) for name in names})
    return digest(found)


def install(library: str, files: t.Mapping[str, bytes]) -> None:
    """Bring these files into force as one library. Raises OSError."""
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
    """Write a library under another name, on the disk too, and rename it."""
    shutil.rmtree(unfinished, ignore_errors=True)
    os.mkdir(unfinished)
    folders = {os.path.dirname(path) for path in files}
    for inner in sorted({"", *folders}):
        path = os.path.join(unfinished, inner)
        os.makedirs(path, exist_ok=True)
        # Every service's account reads it, whatever the umask of this process is.
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
    """Remove the libraries that no program runs from any more, and return their paths. Raises OSError.

    :param state_dir: where the records of what services last served well on are
    """
    current = os.path.realpath(os.path.join(library, CURRENT))
    removed = []
    for path in folders(library):
        if os.path.basename(path) != CURRENT and os.path.realpath(path) != current and _remove(path):
            removed.append(path)
    return [*removed, *_prune_former(library, state_dir)]


def folders(library: str) -> list[str]:
    """Return the paths of all libraries, the link to the one in force before it, and of what a run that died has left."""
    try:
        names = sorted(os.listdir(library), key=lambda name: (name != CURRENT, name))
    except OSError:
        return []
    known = (CURRENT, CURRENT + _writing.UNFINISHED)
    return [os.path.join(library, name) for name in names if name in known or name.startswith(_UNFINISHED) or _FOLDER.fullmatch(name)]


def _remove(path: str) -> bool:
    """Remove a folder unless a program holds it (_main.py); return whether it is gone."""
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
    """Return the programs that versions before the library have put beside each other."""
    ours = [path for path in sorted(glob.glob(os.path.join(glob.escape(library), "*.py"))) if _host.read_text(path).startswith(_PROGRAM)]
    others = [os.path.join(library, name) for name in (_FETCH, *(["__pycache__"] if ours else []))]
    return [*ours, *(path for path in others if os.path.isdir(path))]


def _prune_former(library: str, state_dir: str) -> list[str]:
    """Remove them once nothing calls them: no unit of ours, and no unit that a service may go back to."""
    # What builds and downloads is written before it is started, but for downloads that a reboot has interrupted.
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
