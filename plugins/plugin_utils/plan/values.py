# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of single values: each takes a value from YAML and returns it typed, or raises C(InvalidValue) with the reason and the fix.

Numbers may be text, since extra variables on the command line always are.
"""

from __future__ import annotations

import ipaddress
import math
import re

from typing import Any, Callable, Mapping

from .errors import InvalidValue, kind, shown
from .versions import Version, parse as parse_version

Reader = Callable[[Any], Any]

SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_BESIDE = (".partial", ".share", ".manifest.json", ".verified.json", ".new")
COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PATH = re.compile(r"/[A-Za-z0-9._+@,=-]+(?:/[A-Za-z0-9._+@,=-]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"-?[0-9]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LONGEST_TEXT = 4096
_MOST_DIGITS = 18


def string(value: Any) -> str:
    """Text on one line, possibly empty."""
    if not isinstance(value, str):
        raise InvalidValue(f"this is {kind(value)} where text belongs", "write it as text, in quotes where YAML would read it as something else")
    if len(value) > _LONGEST_TEXT or any(not character.isprintable() for character in value):
        raise InvalidValue(f"it contains a control character, a line break, or more than {_LONGEST_TEXT} characters", "write it on one line")
    return value


def host_name(value: Any) -> str:
    """A host name or an IP address, as certificates have it."""
    read = string(value)
    try:
        ipaddress.ip_address(read)
    except ValueError:
        if not _HOST_NAME.fullmatch(read) or ".." in read:
            raise InvalidValue("this is neither a host name nor an address", "write it without https:// and port, for example llm.example.org") from None
    return read


def word(value: Any) -> str:
    """Text that is not empty and contains no white space."""
    read = string(value)
    if not read or any(character.isspace() for character in read):
        raise InvalidValue("it is empty or contains white space", "write one word")
    return read


def integer(low: int, high: int) -> Reader:
    """A reader of integers from low to high, both included."""

    def read(value: Any) -> int:
        number = value
        if isinstance(value, str) and len(value) <= _MOST_DIGITS and _WHOLE.fullmatch(value):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidValue(f"this is {kind(value)} where a whole number belongs", f"write a whole number from {low} to {high}")
        if not low <= number <= high:
            raise InvalidValue(f"it is outside {low} to {high}", f"write a whole number from {low} to {high}")
        return number

    return read


def optional(reader: Reader) -> Reader:
    """A reader that takes null and empty text for a value that is not set."""
    return lambda value: None if value is None or value == "" else reader(value)


def boolean(value: Any) -> bool:
    """True or false, also as text, since the command line gives text."""
    if isinstance(value, str) and value.lower() in ("true", "yes", "false", "no"):
        return value.lower() in ("true", "yes")
    if not isinstance(value, bool):
        raise InvalidValue(f"this is {kind(value)} where true or false belongs", "write true or false")
    return value


def path(value: Any) -> str:
    """An absolute path of plain characters: units and command lines contain it unquoted."""
    read = string(value)
    if read != "/" and read.endswith("/"):
        read = read.rstrip("/")
    if not _PATH.fullmatch(read) or any(part in (".", "..") for part in read.split("/")):
        raise InvalidValue(
            "it is not an absolute path of letters, digits and ._+@,=- under the root directory",
            "write an absolute path without spaces, '..' or special characters",
        )
    return read


def strings(value: Any) -> tuple[str, ...]:
    """A list of text."""
    if not isinstance(value, (list, tuple)):
        raise InvalidValue(f"this is {kind(value)} where a list belongs", "write a list, even for one item: [item]")
    return tuple(string(item) for item in value)


def account(value: Any) -> str:
    """A user or group name other than root."""
    read = string(value)
    if not _ACCOUNT.fullmatch(read):
        raise InvalidValue("it is not a valid account name on Linux", "use lower-case letters, digits, _ and -, beginning with a letter")
    if read == "root":
        raise InvalidValue("no service runs as root", "name another account, such as inferops")
    return read


def version(value: Any) -> Version:
    """A vLLM version."""
    if isinstance(value, float):
        raise InvalidValue("YAML read this version as a number", 'write it in full and in quotes, like "0.32.0"')
    read = parse_version(string(value))
    if read is None:
        raise InvalidValue("this is not a version number", 'write a released version like "0.32.0", or "0.32.0+cpu" for another build')
    return read


def revision(value: Any) -> str:
    """A commit, branch or tag of a model repository."""
    read = string(value)
    if not _REVISION.fullmatch(read) or ".." in read or len(read) > 128:
        raise InvalidValue("this is not a commit, branch or tag name", "write the 40 hexadecimal digits of the commit, in quotes")
    if read.endswith(_BESIDE):
        # Files next to the weights of another revision have these endings.
        why = f"these endings are reserved for files of this collection: {', '.join(_BESIDE)}"
        raise InvalidValue(why, "write the 40 hexadecimal digits of the commit, in quotes")
    return read


def repo(value: Any) -> str:
    """A repository id of the Hugging Face Hub."""
    read = string(value)
    if not REPO.fullmatch(read) or ".." in read or "--" in read:
        raise InvalidValue("this is not a repository id", "write it as <organisation>/<name>")
    return read


def service_name(value: Any) -> str:
    """The name of a service: part of its unit's name and of paths."""
    read = string(value)
    if not SERVICE_NAME.fullmatch(read) or ".." in read or read.endswith("."):
        raise InvalidValue(
            "the name of a service is part of unit names and paths",
            "use up to 63 lower-case letters, digits, . and -, beginning with a letter or digit",
        )
    return read


def bind_address(value: Any) -> str:
    """An IP address or host name to listen on."""
    read = string(value)
    try:
        return str(ipaddress.ip_address(read))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(read) or read.replace(".", "").isdigit():
        raise InvalidValue("this is not an address", "write an IP address of the host, or 0.0.0.0 for all of them")
    return read


# MIG slices as drivers from 470 on name them, and as older drivers do.
_SLICE = re.compile(r"MIG-(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|GPU-[0-9a-f-]{36}/\d+/\d+)")
_INDEX = integer(0, 1023)


def gpu(value: Any) -> int | str:
    """A GPU: its number as nvidia-smi lists it, or the UUID of a MIG slice."""
    if isinstance(value, str) and value.startswith("MIG-"):
        if not _SLICE.fullmatch(value):
            fix = "write it as nvidia-smi -L prints it, like MIG-377e0049-554c-540b-93c6-d0976f8426cb"
            raise InvalidValue(f"{shown(value)} is no UUID of a MIG slice", fix)
        return value
    if isinstance(value, str) and value.startswith("GPU-"):
        raise InvalidValue("whole GPUs are named by number", "write the number that nvidia-smi -L prints before it; UUIDs are for MIG slices only")
    return _INDEX(value)


def gpu_indexes(value: Any) -> tuple[int | str, ...]:
    """GPU numbers as nvidia-smi lists them, or UUIDs of MIG slices. Duplicates stay, for the check that reports them."""
    if not isinstance(value, (list, tuple)):
        raise InvalidValue(f"this is {kind(value)} where a list of GPU numbers belongs", "write a list like [0, 1]; leave gpus out to use all of the host's")
    if not value:
        raise InvalidValue("the list is empty", "leave gpus out to use all of the host's")
    return tuple(gpu(item) for item in value)


def mapping(value: Any) -> dict[str, Any]:
    """A dictionary with text keys."""
    if not isinstance(value, Mapping):
        raise InvalidValue(f"this is {kind(value)} where a dictionary belongs", "write it as key: value lines")
    for key in value:
        if not isinstance(key, str):
            raise InvalidValue(f"its key {key!r} is {kind(key)}", "write keys as text")
    return dict(value)


def environment_value(value: Any) -> str:
    """A value of an environment variable; true and false become 1 and 0, which vLLM expects."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int) and abs(value) < 10**_MOST_DIGITS:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return string(value)


def is_variable_name(name: str) -> bool:
    """Whether this is a valid name of an environment variable."""
    return bool(_VARIABLE.fullmatch(name))
