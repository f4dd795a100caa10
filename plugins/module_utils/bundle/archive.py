# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a support bundle without secrets: each member is cleaned before it is written, and the finished archive is searched again.

The archive is built in a directory that only root may enter. What is left of an interrupted run is removed by the next one.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
import time
import typing as t

from . import secrets

# Where archives are built: on the disk, since /tmp may be in memory.
PARENT = "/var/tmp"
PREFIX = "inferops-bundle-"
# Seconds after which the directory of another run is not in use any more.
ABANDONED = 3600
MANIFEST = "MANIFEST.txt"
_PIECE = 1024 * 1024
# Of the headers, which are numbers besides the names, only longer forms are searched for, in bytes: "0000" is in each of them.
_LONG = 8


class SecretFound(Exception):
    """The finished archive has a secret: C(str()) is the member, never the secret. The archive has been removed."""


class Member(t.NamedTuple):
    """A file of the archive."""

    name: str
    data: bytes


def make_folder(parent: str = PARENT) -> str:
    """Return a new directory for root alone, and remove those of interrupted runs. Raises OSError."""
    for path in glob.glob(os.path.join(parent, PREFIX + "*")):
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and time.time() - found.st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=PREFIX, dir=parent)


def write(path: str, top: str, members: t.Iterable[Member], missing: t.Mapping[str, str], searched: t.Sequence[bytes], limit: int) -> dict[str, t.Any]:
    """Write the archive and return its C(size), C(sha256), number of C(members) and what was C(left_out). Raises OSError, SecretFound.

    :param top: directory of all members in the archive
    :param missing: what could not be read, with the reason, for the manifest
    :param searched: forms of all secrets
    :param limit: largest sum of the members' sizes in bytes; later members that exceed it are left out
    """
    lines, left_out, total = [], {}, 0
    now = int(time.time())
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:

            def add(name: str, data: bytes) -> None:
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size, member.mtime, member.mode = len(data), now, 0o600
                archive.addfile(member, io.BytesIO(data))

            for one in members:
                name, data = secrets.clean(one.name.encode(), searched).decode(), secrets.clean(one.data, searched)
                if total + len(data) > limit:
                    left_out[name] = f"{len(data)} bytes, which is more than the bundle may still have"
                    continue
                total += len(data)
                add(name, data)
                lines.append(f"{hashlib.sha256(data).hexdigest()}  {len(data):>10}  {name}")
            notes = [f"not read: {name}: {reason}" for name, reason in {**missing, **left_out}.items()]
            text = "\n".join(["sha256, size in bytes, name", *lines, *notes, ""])
            add(MANIFEST, secrets.clean(text.encode(), searched))
        hit = search(path, searched)
        if hit:
            raise SecretFound(hit)
        return {"size": os.path.getsize(path), "sha256": digest(path), "members": len(lines) + 1, "left_out": left_out}
    except BaseException:
        # Also for an interrupt: what is half written may not stay.
        if os.path.lexists(path):
            os.unlink(path)
        raise


def search(path: str, searched: t.Sequence[bytes]) -> str:
    """Return the first member that has a secret in its name or text; empty when there is none. Raises OSError."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            data = file.read() if file is not None else b""
            if secrets.has_any(member.name.encode(), searched):
                return "the name of a member"
            if secrets.has_any(data, searched):
                return member.name
    # What is between the members: headers.
    searched = [form for form in searched if len(form) >= _LONG]
    overlap = max(map(len, searched), default=1)
    with gzip.open(path, "rb") as stream:
        rest = b""
        while True:
            piece = stream.read(_PIECE)
            if not piece:
                return ""
            if secrets.has_any(rest + piece, searched):
                return "the headers of the archive"
            rest = piece[-overlap:]


def digest(path: str) -> str:
    """Return the sha256 of a file. Raises OSError."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            found.update(piece)
    return found.hexdigest()
