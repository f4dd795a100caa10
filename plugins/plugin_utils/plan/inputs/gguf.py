# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key C(gguf_file) of a service: one GGUF file of a repository, which has the same model in many."""

from __future__ import annotations

import posixpath
import re

from typing import Any, Collection

from .. import values
from ..errors import InvalidValue, nearest

# No character has a meaning in a pattern of files.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.gguf")
# The parts of a split file, as llama.cpp's gguf-split names them.
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
# Characters of a file's name in the names of directories and units.
_LONGEST = 80


def read(value: Any) -> str:
    """The path of the file in its repository; of a split one, that of the first part.

    :raises InvalidValue: with the reason
    """
    path = values.string(value)
    if not _PATH.fullmatch(path) or len(stem(path)) > _LONGEST or "--" in stem(path):
        fix = "write its path in the repository, as in qwen3-0.6b-q4_k_m.gguf or Q4_K_M/model-00001-of-00003.gguf"
        raise InvalidValue("this is not the path of a GGUF file in a repository", fix)
    part = _PART.search(path)
    if part is not None and int(part[1]) != 1:
        raise InvalidValue("this is a further part of a split file", f"name the first part: {_PART.sub(f'-00001-of-{part[2]}.gguf', path)}")
    return path


def stem(path: str) -> str:
    """The name of the file without its ending and the number of its part."""
    return posixpath.basename(_PART.sub(".gguf", path))[: -len(".gguf")]


def pattern(path: str) -> str:
    """The pattern of the files to download: the file itself, or all of its parts."""
    return _PART.sub(r"-?????-of-\2.gguf", path)


def is_missing(path: str, files: Collection[str]) -> str:
    """Why a repository with these files does not have it, with those that it has; empty when it does."""
    if path in files:
        return ""
    there = sorted(name for name in files if name.endswith(".gguf"))
    if not there:
        return "the repository has no GGUF file"
    near = nearest(path, there) or there[:10]
    return f"the repository has no such file, but {', '.join(near)}{', …' if len(there) > len(near) else ''}"
