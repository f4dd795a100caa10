# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python for releases (vllm_python): an interpreter of the host, or one that uv installs."""

from __future__ import annotations

import re

from typing import Any

from ... import values
from ...errors import InvalidValue, shown
from ...vllm.platforms import Numbers, numbers

SYSTEM = "/usr/bin/python3"

_MANAGED = re.compile(r"3\.\d{1,2}(?:\.\d{1,2})?")
# An interpreter of the distribution other than its default python3.
_OF_THE_SYSTEM = re.compile(r"/usr/bin/python(3\.\d{1,2})")
_ADDRESS = re.compile(r"(?:https?|file)://[^\s@]+")


def read(value: Any) -> str:
    """The path of an interpreter, or the version of one that uv installs. YAML reads 3.12 without quotes as a number."""
    if isinstance(value, float):
        if str(value) == "3.1":
            raise InvalidValue("YAML reads this as 3.1", "write it in quotes, like '3.10'")
        value = str(value)
    word = values.string(value)
    if _MANAGED.fullmatch(word):
        return word
    if not word.startswith("/"):
        fix = "write the path of an interpreter like /usr/bin/python3, or a version like '3.12' for one that uv installs"
        raise InvalidValue(f"{shown(word)} is neither a path nor a version", fix)
    return str(values.path(word))


def mirror(value: Any) -> str:
    """The mirror from which uv downloads Pythons; empty for their releases on GitHub."""
    read_text = values.string(value)
    if read_text and not _ADDRESS.fullmatch(read_text):
        fix = "write an address without a password, like https://mirror.example/python-build-standalone or file:///srv/python"
        raise InvalidValue("this is not the address of a mirror", fix)
    return read_text.rstrip("/")


def is_managed(python: str) -> bool:
    """Whether uv installs this Python."""
    return _MANAGED.fullmatch(python) is not None


def named_version(python: str) -> Numbers:
    """The version in the setting itself; empty when it has none."""
    if is_managed(python):
        return numbers(python)
    match = _OF_THE_SYSTEM.fullmatch(python)
    return numbers(match[1]) if match else ()


def packages(python: str, default: str, archive: tuple[str, ...]) -> list[str]:
    """OS packages of an interpreter other than the default python3: the interpreter, its headers (for Triton), and its venv module.

    :param default: version of the default python3
    :param archive: Python versions in the distribution
    """
    match = _OF_THE_SYSTEM.fullmatch(python)
    if match is None or match[1] not in archive or numbers(default)[:2] == numbers(match[1]):
        return []
    return [f"python{match[1]}", f"python{match[1]}-dev", f"python{match[1]}-venv"]
