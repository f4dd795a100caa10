# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conflicting files: files that override the managed file's value of the same parameters.

The order is that of systemd-sysctl: files of all directories sorted by name; of files with the same name only the one in the first directory;
the last assignment of a parameter counts. A pattern never overrides an explicit name, and "-name" without a value excludes the parameter
(src/sysctl/sysctl.c).
"""

from __future__ import annotations

import fnmatch
import os
import re
import typing as t

from .. import _reading
from . import keys
from .files import SYSCTL_FILE, below

DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_UFW_DEFAULTS = "/etc/default/ufw"
_IPT_SYSCTL = re.compile(r'^\s*IPT_SYSCTL=["\']?([^"\'\s]+)', re.MULTILINE)

AT_BOOT = "systemd-sysctl reads it later at boot"
TAKEN_OUT = "systemd-sysctl reads it later at boot, and it excludes this parameter"
BY_UFW = "UFW applies it whenever it starts"


class Conflict(t.NamedTuple):
    """A file that overrides the managed value with another one; C(value) is None when it excludes the parameter."""

    key: str
    file: str
    value: t.Optional[str]
    why: str


def parse(text: str) -> dict[str, str | None]:
    """Return the assignments of a file of sysctl.d: the last one of each name or pattern, None for "-name" without a value."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, assigned, value = stripped.partition("=")
        if assigned or stripped.startswith("-"):
            # A dash before an assignment means that errors are ignored.
            found[keys.canonical(name.lstrip("-").strip())] = keys.plain(value) if assigned else None
    return found


def later_files(root: str) -> list[str]:
    """Return the paths of the files that systemd-sysctl reads after the managed one, in its order."""
    chosen: dict[str, str] = {}
    for directory in DIRECTORIES:
        try:
            names = os.listdir(below(root, directory))
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{directory}/{name}")
    ours = os.path.basename(SYSCTL_FILE)
    # By bytes, as strcmp compares.
    return [chosen[name] for name in sorted(chosen, key=os.fsencode) if os.fsencode(name) > os.fsencode(ours)]


def find(root: str, wanted: t.Iterable[str]) -> dict[str, list[tuple[str, str | None, str]]]:
    """Return, for each of these parameters, the files that override the managed one: file, value, reason."""
    wanted = set(wanted)
    found: dict[str, list[tuple[str, str | None, str]]] = {}
    for file in later_files(root):
        for key, value in parse(_read(root, file)).items():
            if key in wanted:
                found[key] = [(_shown(root, file), value, AT_BOOT if value is not None else TAKEN_OUT)]
    # UFW passes its file to the command sysctl, which treats patterns like names.
    setting = _IPT_SYSCTL.findall(_read(root, _UFW_DEFAULTS))
    if setting:
        assigned = {key: value for key, value in parse(_read(root, setting[-1])).items() if value is not None}
        for key in wanted:
            values = [value for name, value in assigned.items() if name == key or (keys.is_pattern(name) and fnmatch.fnmatchcase(key, name))]
            if values:
                found.setdefault(key, []).append((setting[-1], values[-1], BY_UFW))
    return found


def of(root: str, sysctl: t.Mapping[str, str]) -> list[Conflict]:
    """Return the files that override the managed value with a different one, in the order of the parameters."""
    found = find(root, sysctl)
    return [
        Conflict(key, file, value, why)
        for key, wanted in sysctl.items()
        for file, value, why in found.get(key, ())
        if value is None or not keys.same(key, wanted, value)
    ]


def _shown(root: str, path: str) -> str:
    """A path as the user knows it: /etc/sysctl.conf rather than the link to it."""
    full = below(root, path)
    real = os.path.realpath(full)
    top = os.path.realpath(root)
    return "/" + os.path.relpath(real, top) if os.path.islink(full) and real.startswith(top) else path


def _read(root: str, path: str) -> str:
    # A masked file is a link to /dev/null: it reads as empty.
    return _reading.read_text(below(root, path))
