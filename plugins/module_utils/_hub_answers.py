# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of answers of a Hub, a mirror or a peer: names, sizes, hashes and commits.

Standard library only, without other modules of this collection: it runs on the controller, in modules, and in the download program. Names
become paths, arguments and lines of configuration files, so every name that could have a special meaning there is rejected.
"""

from __future__ import annotations

import re
import typing as t

# Limit for the files of one revision, and of one file list.
MAX_FILES = 100_000
# Limits in bytes for a path and each of its parts (Linux allows 4096 and 255; this collection appends endings).
MAX_PATH = 1000
MAX_NAME = 240
# Limits in bytes for one file and for all files.
MAX_SIZE = 2**50
MAX_TOTAL = 2**53
SHOWN = 80

# Folders that the official client and git use for themselves; a repository's files in them are never fetched.
NOT_OURS = (".cache", ".git")

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")

File = t.Dict[str, t.Any]


class BadAnswer(ValueError):
    """An invalid answer of a server; C(str()) is the reason on one line."""


def quoted(value: t.Any) -> str:
    """Return a value for error messages: printable, and not longer than C(SHOWN)."""
    text = ascii(value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def commit(value: t.Any) -> str:
    """Return a commit: 40 hexadecimal digits, or 64 in a SHA-256 repository. Raises BadAnswer."""
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise BadAnswer(f"{quoted(value)} is not a commit")
    return value


def size(value: t.Any) -> int:
    """Return a number of bytes. Raises BadAnswer."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE:
        raise BadAnswer(f"{quoted(value)} is not a size in bytes")
    return value


def is_ours(path: str) -> bool:
    """Whether a path is outside the folders that the official client and git use for themselves."""
    return path.split("/", 1)[0] not in NOT_OURS


def path(value: t.Any) -> str:
    """Return the path of a file in a repository: relative, printable, and inside the repository. Raises BadAnswer."""
    why = _path_error(value)
    if why:
        raise BadAnswer(f"{quoted(value)} is not a valid file name: {why}")
    return str(value)


def _path_error(value: t.Any) -> str:
    if not isinstance(value, str) or not value:
        return "it is not text"
    if not value.isprintable():
        return "it has a control character, a line break or an invisible character"
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError:
        return "it cannot be encoded in UTF-8"
    if len(encoded) > MAX_PATH:
        return f"it is longer than {MAX_PATH} bytes"
    if "\\" in value:
        return "it has a backslash"
    parts = value.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it begins or ends with /, or a part of it is empty, . or .."
    if any(part.startswith(("-", "~")) for part in parts):
        return "a part of it begins with - or ~"
    if any(len(part.encode("utf-8")) > MAX_NAME for part in parts):
        return f"a part of it is longer than {MAX_NAME} bytes"
    return "" if is_ours(value) else "the official client and git use this folder for themselves"


def file(entry: t.Any) -> File:
    """Return a wanted file: path, size in bytes, and sha256 or git_sha1, and nothing else. Raises BadAnswer."""
    if not isinstance(entry, t.Mapping):
        raise BadAnswer(f"{quoted(entry)} is not a file")
    found: File = {"path": path(entry.get("path")), "size": size(entry.get("size"))}
    for key, pattern in (("sha256", _SHA256), ("git_sha1", _SHA1)):
        value = entry.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise BadAnswer(f"{quoted(value)} is not a {key} ({found['path']})")
        found[key] = value
    if len(found) == 2:
        raise BadAnswer(f"{found['path']} has no hash")
    return found


def files(entries: t.Any) -> list[File]:
    """Return the wanted files of a revision, which must not conflict with each other. Raises BadAnswer."""
    if not isinstance(entries, (list, tuple)):
        raise BadAnswer(f"{quoted(entries)} is not a list of files")
    if len(entries) > MAX_FILES:
        raise BadAnswer(f"there are {len(entries)} files, more than {MAX_FILES}")
    found = [file(entry) for entry in entries]
    names = {one["path"] for one in found}
    if len(names) < len(found):
        twice = next(name for name in sorted(names) if sum(one["path"] == name for one in found) > 1)
        raise BadAnswer(f"{quoted(twice)} is listed twice")
    for name in sorted(names):
        parts = name.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in names:
                raise BadAnswer(f"{quoted('/'.join(parts[:depth]))} is both a file and a folder")
    if sum(one["size"] for one in found) > MAX_TOTAL:
        raise BadAnswer(f"the files are larger than {MAX_TOTAL} bytes together")
    return found
