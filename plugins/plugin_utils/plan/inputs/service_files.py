# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from the controller that a service needs: chat templates, parser plugins and the like.

They go into a directory that is named by a hash of their contents. A changed file therefore changes the service's arguments, which restarts it,
and the last known good state keeps its own files.
"""

from __future__ import annotations

import hashlib
import re

from dataclasses import dataclass
from typing import Any, Mapping

from .. import values
from ..errors import InvalidValue

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ServiceFile:
    """A file: its name on the host, its absolute path on the controller, and its sha256 in hexadecimal digits."""

    name: str
    source: str
    sha256: str


def read(value: Any) -> tuple[ServiceFile, ...]:
    """The key C(files) of a service, after the controller has found the files: C(source) and C(sha256) by name.

    :raises InvalidValue: for invalid file names
    """
    found = []
    for name, item in sorted(values.mapping(value).items()):
        if not _NAME.fullmatch(name):
            raise InvalidValue(
                f"{name!r} is not a valid file name", "write name: path on the controller, the name in letters, digits, ., _ and -, without a directory"
            )
        if not isinstance(item, Mapping) or not _DIGEST.fullmatch(str(item.get("sha256"))):
            raise InvalidValue(f"{name} has no file", "write name: path on the controller")
        found.append(ServiceFile(name, str(item.get("source")), str(item["sha256"])))
    return tuple(found)


def root(config_dir: str, service: str) -> str:
    """The directory of all files of a service, which its removal deletes."""
    return f"{config_dir}/files/{service}"


def folder(config_dir: str, service: str, files: tuple[ServiceFile, ...]) -> str | None:
    """The directory of these files with these contents; None without files."""
    if not files:
        return None
    digest = hashlib.sha256("".join(f"{file.sha256}  {file.name}\n" for file in files).encode()).hexdigest()
    return f"{root(config_dir, service)}/{digest[:16]}"


def placed(value: Any, files: tuple[ServiceFile, ...], where: str | None) -> Any:
    """A value with each text that is the name of a file replaced by the file's path on the host, also in lists and dictionaries."""
    if isinstance(value, str):
        return f"{where}/{value}" if any(file.name == value for file in files) else value
    if isinstance(value, (list, tuple)):
        return [placed(item, files, where) for item in value]
    if isinstance(value, Mapping):
        return {key: placed(item, files, where) for key, item in value.items()}
    return value
