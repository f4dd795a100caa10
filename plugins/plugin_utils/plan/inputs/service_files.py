# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller that a service needs beside its model: chat templates, plugins of parsers, and the like.

They lie in a folder that is named by their contents. So whatever names one changes when a file does, which restarts the service; and what served
before still has its own.
"""

from __future__ import annotations

import hashlib
import re

from dataclasses import dataclass
from typing import Any, Mapping

from .. import values
from ..errors import Bad

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ServiceFile:
    """A file: its name on the host, its absolute path on the controller, and its sha256 in hexadecimal digits."""

    name: str
    source: str
    sha256: str


def read(value: Any) -> tuple[ServiceFile, ...]:
    """The key C(files) of a service, after the controller has looked for the files: by name their C(source) and C(sha256).

    :raises Bad: for names that are no file names
    """
    found = []
    for name, item in sorted(values.mapping(value).items()):
        if not _NAME.fullmatch(name):
            raise Bad(
                f"{name!r} is no name for the file on the host", "write name: path on the controller, the name in letters, digits, ., _ and -, without a folder"
            )
        if not isinstance(item, Mapping) or not _DIGEST.fullmatch(str(item.get("sha256"))):
            raise Bad(f"{name} names no file", "write name: path on the controller")
        found.append(ServiceFile(name, str(item.get("source")), str(item["sha256"])))
    return tuple(found)


def root(config_dir: str, service: str) -> str:
    """The folder of all that a service ever needed, which goes with the service."""
    return f"{config_dir}/files/{service}"


def folder(config_dir: str, service: str, files: tuple[ServiceFile, ...]) -> str | None:
    """The folder of these files with these contents; None without files."""
    if not files:
        return None
    digest = hashlib.sha256("".join(f"{file.sha256}  {file.name}\n" for file in files).encode()).hexdigest()
    return f"{root(config_dir, service)}/{digest[:16]}"


def placed(value: Any, files: tuple[ServiceFile, ...], where: str | None) -> Any:
    """A value with each text that is just the name of a file replaced by the file's path on the host, also in lists and dictionaries."""
    if isinstance(value, str):
        return f"{where}/{value}" if any(file.name == value for file in files) else value
    if isinstance(value, (list, tuple)):
        return [placed(item, files, where) for item in value]
    if isinstance(value, Mapping):
        return {key: placed(item, files, where) for key, item in value.items()}
    return value
