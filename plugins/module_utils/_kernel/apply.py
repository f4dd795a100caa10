# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a host's kernel settings about: what is in force first, then the files, then a look at what came of it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass, field

from .._exit_status import describe
from . import keys, rivals, state
from .wanted import HUGEPAGES, MARK, SYSCTL_FILE, Wanted

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOT_INITIAL = "only the initial network namespace, which is the machine's own and no container's, can set it"
_OTHER = "the kernel took it and keeps another value"


class Foreign(Exception):
    """A file that bears our file's name and was not written by us."""


@dataclass
class Outcome:
    """What was, or in check mode would be, changed, and what could not be.

    C(not_set) are rows of key, wanted, in_force, why, and whether it is kept for the next boot.
    C(before) and C(after) hold what changed, by file, parameter or module; C(values) every parameter as it is in force.
    C(released) are parameters that our file held and no longer does: their values stay until the next boot.
    """

    before: dict[str, str | None] = field(default_factory=dict)
    after: dict[str, str | None] = field(default_factory=dict)
    values: dict[str, str | None] = field(default_factory=dict)
    not_set: list[dict[str, t.Any]] = field(default_factory=list)
    conflicts: list[dict[str, t.Any]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def note(self, what: str, before: str | None, after: str | None) -> None:
        if before != after:
            self.before[what], self.after[what] = before, after


def apply(wanted: Wanted, root: str = "/", check_mode: bool = False, modprobe: t.Callable[..., str] | None = None) -> Outcome:
    """Make the settings so. C(modprobe) loads a module and returns why it could not.

    :raises Foreign: before anything was changed
    :raises OSError: when one of the files can't be written
    """
    there = state.our_files(root)
    foreign = [path for path, text in there.items() if not text.startswith(MARK)]
    if foreign:
        raise Foreign(f"{', '.join(foreign)}: a file of this name is on the host and was not written by inferops.gpu. Move it away; nothing was changed.")
    made = Outcome()
    missing = _load_modules(wanted, root, check_mode, modprobe or run_modprobe, made)
    why, refused = _set_parameters(wanted, root, check_mode, missing, made)
    _set_switches(wanted, root, check_mode, made)
    for path, text in wanted.files(refused).items():
        if there.get(path, "") != text:
            made.note(path, there.get(path), text or None)
            if not check_mode:
                write_file(state.below(root, path), text)
    made.released = [key for key in rivals.parse(there.get(SYSCTL_FILE, "")) if key not in wanted.sysctl]
    made.conflicts = [rival._asdict() for rival in rivals.conflicts(root, wanted.sysctl)]
    _look(wanted, root, check_mode, why, refused, made)
    return made


def run_modprobe(module: str, dry_run: bool) -> str:
    """Load a module, or see whether that could be done; why not, or empty."""
    # A user who became root may not have these on the path.
    command = shutil.which("modprobe", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if command is None:
        return "there is no command modprobe"
    try:
        done = subprocess.run([command, *(["--dry-run"] if dry_run else []), module], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (done.stderr.strip() or f"modprobe {describe(done.returncode)}") if done.returncode else ""


def write_file(path: str, text: str) -> None:
    """Put a file in the place of another in one step, readable by all; an empty text takes it away."""
    if not text:
        os.unlink(path)
        return
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    # The directories' readers take names that end with .conf, which this one does not.
    handle, made = tempfile.mkstemp(prefix=".inferops-", dir=directory)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(made, 0o644)
        os.replace(made, path)
    except OSError:
        os.unlink(made)
        raise


def _load_modules(wanted: Wanted, root: str, check_mode: bool, modprobe: t.Callable[..., str], made: Outcome) -> str:
    """Load what is not loaded. Returns why something could not be; empty when all is there, or would be."""
    problems = []
    for module in wanted.modules:
        if state.is_loaded(root, module):
            continue
        problem = modprobe(module, check_mode)
        if problem:
            problems.append(f"the module {module} can't be loaded: {problem}")
        else:
            made.note(f"module {module}", "not loaded", "loaded")
    return "; ".join(problems)


def _set_parameters(wanted: Wanted, root: str, check_mode: bool, missing: str, made: Outcome) -> tuple[dict[str, str], set[str]]:
    """Set what differs. Returns why some could not be set, and those whose value the kernel does not take at all."""
    why: dict[str, str] = {}
    refused: set[str] = set()
    for key, value in wanted.sysctl.items():
        before = keys.read_value(root, key)
        if keys.same(key, value, before):
            continue
        path = os.path.join(root, "proc/sys", keys.path_of(key))
        if not os.path.isfile(path):
            absence = keys.absence(root, key) or "this kernel has no such parameter"
            needs_module = key.startswith("net.netfilter.nf_conntrack")
            if check_mode and needs_module and not missing and "module nf_conntrack" in made.after:
                made.note(key, None, value)
            else:
                why[key] = missing if missing and needs_module else absence
        elif before is None:
            why[key] = "it cannot be read back, so that nobody could see what is in force"
        elif check_mode:
            if os.access(path, os.W_OK):
                made.note(key, before, value)
            else:
                why[key] = _reason(root, key, errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES)
        else:
            problem = _write(path, value)
            if problem is not None and problem.errno not in _READ_ONLY:
                refused.add(key)
                why[key] = f"the kernel refuses this value ({problem.strerror})"
            elif problem is not None:
                why[key] = _reason(root, key, problem.errno)
            made.note(key, before, keys.read_value(root, key))
    return why, refused


def _set_switches(wanted: Wanted, root: str, check_mode: bool, made: Outcome) -> None:
    """Huge pages and the CPUs' governor: files of /sys, each of which takes one of a few words."""
    if wanted.transparent_hugepages:
        path = state.below(root, HUGEPAGES)
        _switch("transparent_hugepages", wanted.transparent_hugepages, [path], lambda: state.hugepages(root), check_mode, made)
    if wanted.cpu_governor:
        paths = state.governor_files(root)

        def governors() -> str:
            return " ".join(sorted({state.read_text(path).strip() for path in paths}))

        _switch("cpu_governor", wanted.cpu_governor, paths, governors, check_mode, made)


def _switch(name: str, value: str, paths: list[str], read: t.Callable[[], str], check_mode: bool, made: Outcome) -> None:
    before = read()
    if not before:
        made.not_set.append(_row(name, value, None, "this system has no such setting"))
        return
    if before == value:
        return
    problem: str | None = None
    for path in paths:
        if check_mode:
            problem = None if os.access(path, os.W_OK) else "it is read-only here"
        else:
            error = _write(path, value)
            problem = str(error.strerror) if error else problem
    after = value if check_mode and not problem else read()
    made.note(name, before, after)
    if after != value:
        made.not_set.append(_row(name, value, after, problem or _OTHER))


def _look(wanted: Wanted, root: str, check_mode: bool, why: dict[str, str], refused: set[str], made: Outcome) -> None:
    """Read everything once more: what counts is what is in force, not what was written."""
    for key, value in wanted.sysctl.items():
        found = keys.read_value(root, key)
        made.values[key] = found
        if keys.same(key, value, found) or (check_mode and key in made.after):
            continue
        made.not_set.append(_row(key, value, found, why.get(key, _OTHER), key not in refused))


def _row(key: str, value: str, found: str | None, why: str, kept: bool = True) -> dict[str, t.Any]:
    return {"key": key, "wanted": value, "in_force": found, "why": why, "kept": kept}


def _write(path: str, value: str) -> OSError | None:
    # One write: the kernel takes each for a value of its own.
    try:
        handle = os.open(path, os.O_WRONLY)
    except OSError as error:
        return error
    try:
        os.write(handle, value.encode())
    except OSError as error:
        return error
    finally:
        os.close(handle)
    return None


def _reason(root: str, key: str, number: int | None) -> str:
    if key.startswith("net.") and not keys.is_initial_network(root) and number != errno.EROFS:
        return _NOT_INITIAL
    return "/proc/sys is mounted read-only here" if number == errno.EROFS else "it is read-only here"
