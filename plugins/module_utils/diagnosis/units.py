# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed units as systemd runs them, with drop-ins, the manager's environment and environment files: what a service really gets."""

from __future__ import annotations

import os
import re
import shlex
import typing as t

from .. import _host, _reading
from .commands import Unread, output

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "StatusText", "NRestarts", "InvocationID", "MainPID", "User", "FragmentPath",
    "DropInPaths", "NeedDaemonReload", "Environment", "EnvironmentFiles", "ExecStart",
)
_FILE = re.compile(r"^EnvironmentFiles=(/.*?) \(ignore_errors=(?:yes|no)\)$", re.MULTILINE)
_RELEASE = re.compile(r"(/\S*/(vllm|transformers)-([^/\s]+)-[0-9a-f]{6,64})/bin/")
_FLAG = re.compile(r"\s--([A-Za-z0-9][A-Za-z0-9_.-]*)(?:=(\S*))?")


class Unit(t.NamedTuple):
    """A managed unit. C(environment) may have secrets: nothing of it is reported except names, paths and addresses without passwords.

    C(gpus) are indexes, None when unknown. C(port) is that of the API, 0 for none.
    """

    name: str
    service: str
    port: int
    gpus: t.Optional[list[int]]
    text: str
    properties: t.Mapping[str, str]
    environment: t.Mapping[str, str]

    def get(self, name: str) -> str:
        """Return a property of systemd; empty when systemd has none."""
        return self.properties.get(name, "")

    @property
    def stem(self) -> str:
        """The name without C(.service), as in the unit's own directories."""
        return self.name[: -len(".service")] if self.name.endswith(".service") else self.name

    @property
    def command(self) -> str:
        """The command line, as systemd prints it."""
        match = re.search(r"argv\[\]=(.*?) ; ignore_errors=", self.get("ExecStart"))
        return match[1] if match else ""

    def release(self) -> tuple[str, str, str]:
        """Return path, engine and version of the release that the unit runs; empty texts without one."""
        match = _RELEASE.search(self.command)
        return (match[1], match[2], match[3]) if match else ("", "", "")

    def flags(self) -> dict[str, t.Any]:
        """Return the engine's flags in the form of vllm_args: numbers as numbers, a flag without a value is true, C(--no-x) is C(x) false."""
        _before, _dashes, rest = self.command.partition(" -- ")
        found: dict[str, t.Any] = {}
        for name, value in _FLAG.findall(rest):
            key = name.replace("-", "_")
            if not value and key.startswith("no_"):
                found[key[3:]] = False
            else:
                found[key] = int(value) if value.isdigit() else value or True
        return found


def read() -> list[Unit]:
    """Return the managed units of model services. Raises Unread when systemd does not answer."""
    services = _host.read_services()
    if not services:
        return []
    shown = output("systemctl", "show", "--property=" + ",".join(PROPERTIES), *(item["unit"] for item in services))
    blocks = {properties.get("Id", ""): (properties, block) for block in shown.split("\n\n") for properties in [_properties(block)]}
    inherited = manager_environment()
    found = []
    for item in services:
        properties, block = blocks.get(item["unit"], ({}, ""))
        environment = {**inherited, **assignments(properties.get("Environment", ""))}
        for path in _FILE.findall(block):
            environment.update(environment_file(_reading.read_text(path)))
        text = _reading.read_text(os.path.join(_host.UNIT_DIRECTORY, item["unit"]))
        found.append(Unit(item["unit"], item["service"], item["port"], item["gpus"], text, properties, environment))
    return found


def _properties(block: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in block.strip().splitlines() if "=" in line)


def manager_environment() -> dict[str, str]:
    """Return the variables that systemd passes to every unit; none when it does not answer."""
    try:
        return {name: value for name, equals, value in (line.partition("=") for line in output("systemctl", "show-environment").splitlines()) if equals}
    except Unread:
        return {}


def assignments(text: str) -> dict[str, str]:
    """Return the variables of the property Environment, which systemd quotes like a shell."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def environment_file(text: str) -> dict[str, str]:
    """Return the variables of an EnvironmentFile= (systemd.exec(5)), with one line for each."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[name.strip()] = value
    return found
