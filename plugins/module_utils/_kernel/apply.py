# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set kernel settings that differ, and report which are in force afterwards and why the others are not.

C(sysctl) and C(ansible.posix.sysctl) are not enough: they fail at parameters that a container may not set, cannot tell that from a value that the
kernel rejects, and cannot predict either in check mode.
"""

from __future__ import annotations

import errno
import functools
import os
import typing as t
from dataclasses import dataclass, field

from . import conflicts, files, keys, state

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOT_INITIAL = "only the initial network namespace (the host's, not a container's) can set it"
_OTHER = "the kernel accepted the value but uses another one"
_CONNTRACK = "net.netfilter.nf_conntrack"


@dataclass
class Outcome:
    """What was changed, or would be in check mode, and what could not be set.

    C(not_set) are items of key, wanted, in_force, why, and kept: whether it is configured for the next boot. C(before) and C(after) have the changes
    by parameter or module. C(refused) are parameters whose value the kernel rejects.
    """

    before: dict[str, str | None] = field(default_factory=dict)
    after: dict[str, str | None] = field(default_factory=dict)
    not_set: list[dict[str, t.Any]] = field(default_factory=list)
    conflicts: list[dict[str, t.Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def note(self, what: str, before: str | None, after: str | None) -> None:
        if before != after:
            self.before[what], self.after[what] = before, after


class Setting(t.NamedTuple):
    """A value for files of /proc/sys or /sys; C(read) returns the value in force, None or empty when there is none."""

    name: str
    wanted: str
    paths: t.List[str]
    read: t.Callable[[], t.Optional[str]]


def apply(
    sysctl: t.Mapping[str, str], modules: t.Sequence[str] = (), hugepages: str = "", governor: str = "", root: str = "/", check_mode: bool = False,
    modprobe: t.Callable[[str], str] = lambda module: "",
) -> Outcome:
    """Apply the settings. C(modprobe) loads a module, or in check mode tests whether it can be loaded, and returns the error."""
    made = Outcome()
    missing = _load_modules(modules, root, modprobe, made)
    why: dict[str, str] = {}
    wanted = _settings(sysctl, hugepages, governor, root)
    for setting in wanted:
        if not keys.same(setting.name, setting.wanted, setting.read()):
            why[setting.name] = _set(setting, root, check_mode, missing, made)
    # Read everything again: the values in force count, not the written ones.
    for setting in wanted:
        found = setting.read() or None
        if keys.same(setting.name, setting.wanted, found) or (check_mode and made.after.get(setting.name) == setting.wanted):
            continue
        made.not_set.append({
            "key": setting.name, "wanted": setting.wanted, "in_force": found, "why": why.get(setting.name) or _OTHER,
            "kept": setting.name not in made.refused,
        })
    made.conflicts = [conflict._asdict() for conflict in conflicts.of(root, sysctl)]
    return made


def _settings(sysctl: t.Mapping[str, str], hugepages: str, governor: str, root: str) -> list[Setting]:
    found = [
        Setting(key, value, [os.path.join(root, "proc/sys", keys.path_of(key))], functools.partial(keys.read_value, root, key)) for key, value in sysctl.items()
    ]
    if hugepages:
        found.append(Setting("transparent_hugepages", hugepages, [files.below(root, files.HUGEPAGES)], functools.partial(state.hugepages, root)))
    if governor:
        found.append(Setting("cpu_governor", governor, state.governor_files(root), lambda: " ".join(state.governors(root))))
    return found


def _load_modules(modules: t.Sequence[str], root: str, modprobe: t.Callable[[str], str], made: Outcome) -> str:
    """Load the missing modules. Returns why some could not be loaded; empty when all are loaded, or would be."""
    why = {module: modprobe(module) for module in modules if not state.is_loaded(root, module)}
    for module in (module for module, problem in why.items() if not problem):
        made.note(f"module {module}", "not loaded", "loaded")
    return "; ".join(f"the module {module} cannot be loaded: {problem}" for module, problem in why.items() if problem)


def _set(setting: Setting, root: str, check_mode: bool, missing: str, made: Outcome) -> str:
    """Set a value that differs. Returns why it could not be set; empty on success."""
    name, wanted = setting.name, setting.wanted
    is_parameter = "." in name
    before = setting.read()
    if not before and not is_parameter:
        return "this system has no such setting"
    if not any(map(os.path.isfile, setting.paths)):
        if name.startswith(_CONNTRACK) and missing:
            return missing
        if check_mode and name.startswith(_CONNTRACK) and "module nf_conntrack" in made.after:
            made.note(name, None, wanted)
            return ""
        return keys.absence(root, name) or "this kernel has no such parameter"
    if before is None:
        return "it cannot be read, so its value in force is unknown"
    problem = max((_may_write(path) if check_mode else _write(path, wanted) for path in setting.paths), default=0)
    made.note(name, before, wanted if check_mode and not problem else setting.read())
    if problem and problem not in _READ_ONLY:
        made.refused += [name] if is_parameter else []
        return f"the kernel rejects this value ({os.strerror(problem)})"
    if not problem:
        return ""
    if name.startswith("net.") and not keys.is_initial_network(root) and problem != errno.EROFS:
        return _NOT_INITIAL
    return "/proc/sys is mounted read-only here" if problem == errno.EROFS and is_parameter else "it is read-only here"


def _write(path: str, value: str) -> int:
    """Write a value; returns the number of the error, or 0."""
    # A single write: the kernel treats each write as a complete value.
    try:
        handle = os.open(path, os.O_WRONLY)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        os.write(handle, value.encode())
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(handle)
    return 0


def _may_write(path: str) -> int:
    """Return what _write() would return, without writing."""
    if os.access(path, os.W_OK):
        return 0
    return errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
