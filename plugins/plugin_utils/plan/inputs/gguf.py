# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key C(gguf_file) of a service: one GGUF file of a repository, which has the same model in many."""

from __future__ import annotations

import posixpath
import re

from typing import Any, Collection

from .. import values
from ..errors import InvalidValue, nearest, shown

_ENDING = ".gguf"
# Characters of paths. None has a meaning in a pattern of files.
_ALLOWED = re.compile(r"[A-Za-z0-9._+/-]")
# Bytes of a name in a file system.
_LONGEST = 255
# The parts of a split file, as llama.cpp's gguf-split names them.
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
# Characters of a file's name in the names of directories and units, which have a hash of its path as well.
_SHORT = 40


def read(value: Any) -> str:
    """The path of the file in its repository; of a split one, that of the first part.

    :raises InvalidValue: with the reason
    """
    path = values.string(value)
    why = _why_refused(path)
    if why:
        raise InvalidValue(why, "write its path in the repository, as in qwen3-0.6b-q4_k_m.gguf or Q4_K_M/model-00001-of-00003.gguf")
    part = _PART.search(path)
    if part is not None and int(part[1]) != 1:
        raise InvalidValue("this is a further part of a split file", f"name the first part: {_PART.sub(f'-00001-of-{part[2]}.gguf', path)}")
    return path


def _why_refused(path: str) -> str:
    """Why this is not the path of a GGUF file in a repository that the plan can name; empty if it is."""
    if not path.endswith(_ENDING):
        return f"a GGUF file ends with {_ENDING}"
    if path.startswith("/"):
        return "this is a path on a host, and the file is in a repository"
    strange = next((character for character in path if not _ALLOWED.fullmatch(character)), None)
    if strange is not None:
        return f"it has {'a space' if strange == ' ' else f'the character {shown(strange)}'}, and only A-Z, a-z, 0-9 and . _ + - / may be in it"
    for name in path.split("/"):
        if not name or name[0] in ".-+":
            return f"a file or folder in it begins with {name[0]}" if name else "a folder in it has no name"
        if len(name) > _LONGEST:
            return f"a file or folder in it has a name of {len(name)} characters, and file systems have at most {_LONGEST}"
    return ""


def short_name(path: str) -> str:
    """The begin of the file's name, without its ending and the number of its part, as it may be in the name of a systemd unit."""
    return posixpath.basename(_PART.sub(_ENDING, path))[: -len(_ENDING)].replace("+", "-")[:_SHORT]


def pattern(path: str) -> str:
    """The pattern of the files to download: the file itself, or all of its parts."""
    return _PART.sub(r"-?????-of-\2.gguf", path)


def is_missing(path: str, files: Collection[str]) -> str:
    """Why a repository with these files does not have it, with those that it has; empty when it does."""
    if path in files:
        return ""
    there = sorted(name for name in files if name.endswith(_ENDING))
    if not there:
        return "the repository has no GGUF file"
    near = nearest(path, there) or there[:10]
    return f"the repository has no such file, but {', '.join(near)}{', …' if len(there) > len(near) else ''}"
