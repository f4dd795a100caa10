# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the files of a revision on the disk with the Hub's metadata: hashes, and a record of verified files.

A file is hashed once, and again only when its size or modification time has changed. The record is beside an unfinished download; the manifest
replaces it when all files are complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import typing as t

from .._reading import read_json
from .._writing import replace_json

CHUNK = 8 * 1024 * 1024

File = t.Dict[str, t.Any]


def is_full(error: OSError) -> bool:
    """Whether the error means that the disk, or the account's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def hashes(path: str, size: int) -> tuple[str, str]:
    """Return the sha256 of a file and the object name that git gives its content. Syncs the file to the disk."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    # The Hub states only the sha256 of a large file, and only git's object name of a small one.
    both = size < CHUNK
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            if both:
                git.update(chunk)
        os.fsync(file.fileno())
    return sha256.hexdigest(), git.hexdigest() if both else ""


def git_name(path: str, size: int) -> str:
    """Return the object name that git gives a file's content."""
    git = hashlib.sha1(b"blob %d\0" % size)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            git.update(chunk)
    return git.hexdigest()


def size_of(path: str) -> int:
    """Return a file's size in bytes; -1 when the file does not exist."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


def entry_of(base: str, file: File) -> File | None:
    """Hash a file in a directory: its manifest entry, or None when size or hash differ from the metadata. Raises OSError."""
    path = os.path.join(base, file["path"])
    before = os.stat(path)
    if before.st_size != file["size"]:
        return None
    sha256, git = hashes(path, file["size"])
    if sha256 != file.get("sha256", sha256):
        return None
    if "git_sha1" in file and (git or git_name(path, file["size"])) != file["git_sha1"]:
        return None
    return {"path": file["path"], "size": file["size"], "sha256": sha256, "mtime_ns": before.st_mtime_ns}


class Record:
    """The manifest entries of the verified files of one directory, kept in a JSON file C({"files": [entry, ...]})."""

    def __init__(self, path: str) -> None:
        self.path = path
        rows = read_json(path).get("files", [])
        self.entries: dict[str, File] = {row["path"]: row for row in rows if isinstance(row, dict) and "path" in row and "sha256" in row}

    def holds(self, base: str, file: File) -> File | None:
        """The entry of a file that was verified and has not changed since, by size and modification time."""
        entry = self.entries.get(file["path"])
        if entry is None or entry["sha256"] != file.get("sha256", entry["sha256"]):
            return None
        try:
            found = os.stat(os.path.join(base, file["path"]))
        except OSError:
            return None
        same = found.st_size == file["size"] == entry.get("size") and found.st_mtime_ns == entry.get("mtime_ns")
        return entry if same else None

    def add(self, entry: File) -> None:
        """Record a verified file. On a full disk the record is only in memory, and the next start hashes the file again."""
        self.entries[entry["path"]] = entry
        try:
            replace_json(self.path, {"files": list(self.entries.values())}, durable=True, indent=1)
        except OSError as error:
            if not is_full(error):
                raise


def digest(entries: list[File]) -> str:
    """Return one hash for the contents of all files: two hosts have the same digest when they have the same weights."""
    rows = sorted(f"{entry['sha256']}  {entry['path']}\n" for entry in entries)
    return hashlib.sha256("".join(rows).encode()).hexdigest()
