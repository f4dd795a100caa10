# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conflicting files: those that set the same parameters, and win over ours.

The order is that of systemd-sysctl: files of all directories by name, of two with one name the one in the first directory, the last word on a
parameter counts. A pattern never wins over a parameter's own name, and "-name" without a value takes it out (src/sysctl/sysctl.c).
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

AT_BOOT = "it is read after ours at boot"
TAKEN_OUT = "it is read after ours at boot, and says that this one is not to be set"
BY_UFW = "UFW applies it whenever it starts"


class Conflict(t.NamedTuple):
    """A file that wins over ours with another value; C(value) is None when it takes the parameter out."""

    key: str
    file: str
    value: t.Optional[str]
    why: str


def parse(text: str) -> dict[str, str | None]:
    """The assignments of a file of sysctl.d: the last one of each name or pattern, None for "-name" without a value."""
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, assigned, value = stripped.partition("=")
        if assigned or stripped.startswith("-"):
            # A dash before an assignment only says that failing is no matter.
            found[keys.canonical(name.lstrip("-").strip())] = keys.plain(value) if assigned else None
    return found


def later_files(root: str) -> list[str]:
    """Paths of the files that systemd-sysctl reads after ours, in its order."""
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
    """For each of these parameters, the files that have a later word on it than ours: file, value, why it wins."""
    wanted = set(wanted)
    found: dict[str, list[tuple[str, str | None, str]]] = {}
    for file in later_files(root):
        for key, value in parse(_read(root, file)).items():
            if key in wanted:
                found[key] = [(_shown(root, file), value, AT_BOOT if value is not None else TAKEN_OUT)]
    # UFW hands its file to the command sysctl, for which a pattern is as good as a name.
    setting = _IPT_SYSCTL.findall(_read(root, _UFW_DEFAULTS))
    if setting:
        assigned = {key: value for key, value in parse(_read(root, setting[-1])).items() if value is not None}
        for key in wanted:
            values = [value for name, value in assigned.items() if name == key or (keys.is_pattern(name) and fnmatch.fnmatchcase(key, name))]
            if values:
                found.setdefault(key, []).append((setting[-1], values[-1], BY_UFW))
    return found


def of(root: str, sysctl: t.Mapping[str, str]) -> list[Conflict]:
    """Files that win over ours with another value than ours, in the order of the parameters."""
    found = find(root, sysctl)
    return [
        Conflict(key, file, value, why)
        for key, wanted in sysctl.items()
        for file, value, why in found.get(key, ())
        if value is None or not keys.same(key, wanted, value)
    ]


def _shown(root: str, path: str) -> str:
    """A file as the user knows it: /etc/sysctl.conf rather than the link to it."""
    full = below(root, path)
    real = os.path.realpath(full)
    top = os.path.realpath(root)
    return "/" + os.path.relpath(real, top) if os.path.islink(full) and real.startswith(top) else path


def _read(root: str, path: str) -> str:
    # A link to /dev/null is how a file is masked: it reads as empty.
    return _reading.read_text(below(root, path))
