# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of files that belong together: written as a whole after a check of all of them, or not at all."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import subprocess
import tempfile
import typing as t

from . import _safe_paths, _writing
from ._masking import masked

# Seconds that one check of the files may take.
_SECONDS = 120


class Invalid(ValueError):
    """Files that a program refuses."""


@dataclasses.dataclass(frozen=True)
class File:
    """A wanted file: its data, mode and owner."""

    data: bytes
    mode: int
    uid: int
    gid: int
    secret: bool = False


@dataclasses.dataclass(frozen=True)
class Difference:
    """What has to change: the paths to write, and those to remove."""

    write: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.write or self.remove)


def existing(folder: str) -> list[str]:
    """Return the paths of all files in a directory, relative to it. Links are files here: they are not followed."""
    found = []
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        found += [os.path.relpath(os.path.join(above, name), folder) for name in (*names, *links)]
    return sorted(found)


def compare(folder: str, wanted: t.Mapping[str, File], prune: bool = True, prune_in: t.Collection[str] = ()) -> Difference:
    """Return what differs from the wanted files.

    :param prune_in: folders outside of which no file is removed; empty for none
    """
    write = tuple(path for path in sorted(wanted, key=_order) if not _is_as_wanted(os.path.join(folder, path), wanted[path]))
    others = [path for path in existing(folder) if path not in wanted] if prune else []
    remove = tuple(path for path in others if not prune_in or path.split(os.sep)[0] in prune_in)
    return Difference(write, remove)


def _order(path: str) -> tuple[bool, str]:
    """Files that others name, which are in folders, before those at the top."""
    return os.sep not in path, path


def _is_as_wanted(path: str, file: File) -> bool:
    try:
        found = os.lstat(path)
        return (
            stat.S_ISREG(found.st_mode) and (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (file.mode, file.uid, file.gid)
            and found.st_size == len(file.data) and _safe_paths.read_bytes(path) == file.data
        )
    except OSError:
        return False


def validate(wanted: t.Mapping[str, File], commands: t.Iterable[t.Sequence[str]]) -> None:
    """Check the files in a temporary copy. Raises Invalid with a command's message.

    :param commands: in their words C({folder}) is the copy; one whose program is not installed is skipped
    """
    present = [command for command in commands if shutil.which(command[0])]
    if not present:
        return
    with tempfile.TemporaryDirectory(prefix="inferops-") as copy:
        for path, file in wanted.items():
            os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
            with open(os.open(os.path.join(copy, path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(file.data)
        for command in present:
            words = [word.replace("{folder}", copy) for word in command]
            try:
                done = subprocess.run(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise Invalid(f"{command[0]}: {error}") from error
            if done.returncode != 0:
                secrets = [file.data.decode("utf-8", "replace") for file in wanted.values() if file.secret]
                lines = masked(done.stdout.replace(copy + os.sep, ""), *secrets, *(line for text in secrets for line in text.split())).strip()
                raise Invalid(f"{' '.join(command[:3])} refuses them, so nothing was changed: {lines[-2000:]}")


def apply(folder: str, wanted: t.Mapping[str, File], difference: Difference) -> None:
    """Write and remove what differs, each file atomically. Raises OSError."""
    for path in difference.write:
        _make_folder(os.path.dirname(os.path.join(folder, path)))
        file = wanted[path]
        _writing.replace(os.path.join(folder, path), file.data, file.mode, durable=True, owner=(file.uid, file.gid))
    for path in difference.remove:
        _safe_paths.remove(os.path.join(folder, path))
        _remove_empty_above(folder, path)


def _remove_empty_above(folder: str, path: str) -> None:
    """Remove the folders of a removed file that are empty now; other empty ones may be somebody else's."""
    above = os.path.dirname(path)
    while above and os.path.isdir(os.path.join(folder, above)) and not os.listdir(os.path.join(folder, above)):
        os.rmdir(os.path.join(folder, above))
        above = os.path.dirname(above)


def mark(path: str) -> None:
    """Create the empty file that marks a directory as managed, and the directory. Raises OSError."""
    _make_folder(os.path.dirname(path))
    _writing.replace(path, b"", 0o644, durable=True, owner=(os.geteuid(), os.getegid()))


def _make_folder(path: str) -> None:
    """Create a missing folder; one that exists keeps its mode."""
    if _safe_paths.stat_folder(path) is None:
        os.close(_safe_paths.make_folder(path, os.geteuid(), os.getegid(), 0o755))
