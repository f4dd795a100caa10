# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of reports on the controller: a JSON file and a page for each run, and links to the newest ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile

from typing import Any, Iterable, Iterator, Mapping

from . import contents

# A run's files: 20261126T140311Z-<limit or all>.json and .html; a second run in the same second gets -2.
_NAME = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9._-]{1,60}\.json")
LATEST = "latest"
_LONGEST_LIMIT = 40
_MOST_RUNS_A_SECOND = 99
# Limit of a report that is read, in bytes; one of 500 hosts has about 20 MB.
MOST_BYTES = 256 * 1024 * 1024


class Unusable(Exception):
    """A folder or report that cannot be used; the message has the reason and the fix."""


def user_path(text: str) -> str:
    """A path relative to the user's working directory, as Ansible's own arguments are; empty for an empty one."""
    return os.path.join(os.environ.get("PWD", os.getcwd()), os.path.expanduser(text)) if text else ""


def base_name(ended: str, limit: str) -> str:
    """The name of a run's files without its ending.

    :param ended: time of the end in UTC, as in the report
    :param limit: hosts that -l names; empty for all
    """
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", limit)[:_LONGEST_LIMIT].strip("._-")
    return f"{ended.replace('-', '').replace(':', '')}-{words or ('limited' if limit else 'all')}"


def write(folder: str, base: str, report: dict[str, Any], page: str, keep: int) -> tuple[str, str]:
    """Write both files and the links to them, remove the oldest reports, and return the paths. Raises Unusable.

    The JSON file comes last: where it is, the page is too.

    :param keep: number of reports that stay in the folder; 0 for all
    """
    _make(folder)
    paths: tuple[str, ...] = ()
    try:
        name = _free(folder, base)
        paths = (os.path.join(folder, f"{name}.json"), os.path.join(folder, f"{name}.html"))
        _write(paths[1], page)
        _write(paths[0], json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        for path in paths:
            _link(os.path.join(folder, LATEST + os.path.splitext(path)[1]), os.path.basename(path))
        if keep:
            _prune(folder, keep)
    except OSError as error:
        # A page without its JSON file is no report.
        if paths and not os.path.lexists(paths[0]):
            with contextlib.suppress(OSError):
                os.unlink(paths[1])
        raise Unusable(f"run_report_dir {folder}: {error.strerror or error}. Fix: name a folder that this user can write, or empty it for no reports") from None
    return paths[0], paths[1]


def _make(folder: str) -> None:
    """Create the folder for this user alone. An existing one keeps its mode, but must not be writable by everybody."""
    try:
        os.makedirs(os.path.dirname(folder) or ".", exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        mode = os.stat(folder).st_mode
    except OSError as error:
        raise Unusable(f"run_report_dir {folder}: {error.strerror or error}. Fix: name a folder that this user can write, or empty it for no reports") from None
    if not stat.S_ISDIR(mode):
        raise Unusable(f"run_report_dir {folder} is not a folder. Fix: name a folder, or remove this file")
    if mode & stat.S_IWOTH:
        raise Unusable(f"run_report_dir {folder} is writable by everybody, who could replace reports. Fix: chmod o-w {folder}, or name another folder")


def _free(folder: str, base: str) -> str:
    """The first of base, base-2, … that no report has; reserved by an empty page, so that two runs never take the same."""
    for number in range(1, _MOST_RUNS_A_SECOND):
        name = base if number == 1 else f"{base}-{number}"
        if os.path.lexists(os.path.join(folder, f"{name}.json")):
            continue
        try:
            os.close(os.open(os.path.join(folder, f"{name}.html"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        return name
    raise Unusable(f"run_report_dir {folder} has {_MOST_RUNS_A_SECOND} reports named {base}. Fix: move them elsewhere")


def _write(path: str, text: str) -> None:
    """Replace a file atomically, with mode 0600."""
    number, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=os.path.dirname(path))
    try:
        with open(number, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _link(path: str, target: str) -> None:
    """Point a link to a file of the same folder, atomically."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)


def names(folder: str) -> list[str]:
    """The JSON files of reports, newest first. Raises Unusable."""
    try:
        found = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unusable(f"run_report_dir {folder}: {error.strerror or error}. Fix: name a folder that this user can read") from None
    return sorted(found, key=_order, reverse=True)


def _order(name: str) -> tuple[str, int, str]:
    """By time. Of the runs of a second with the same limit, -10 is after -2."""
    number = re.search(r"-(\d+)\.json$", name)
    return name.partition("-")[0], int(number[1]) if number else 1, name


def _prune(folder: str, keep: int) -> None:
    for name in names(folder)[keep:]:
        for path in (name, f"{name.removesuffix('.json')}.html"):
            # Another run may remove it at the same time.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, path))


def load(path: str) -> dict[str, Any]:
    """A report. Raises Unusable for what is not one."""
    try:
        with open(path, encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable(f"{path} is not a file. Fix: name a report's JSON file")
            report = json.loads(file.read(MOST_BYTES))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}. Fix: name a report's JSON file that this user can read") from None
    except (ValueError, RecursionError):
        raise Unusable(f"{path} is not JSON. Fix: name a report's JSON file, or remove this one") from None
    return checked(report, path)


def checked(report: Any, path: str) -> dict[str, Any]:
    """A report whose form is the one that this version reads. Raises Unusable."""
    if not isinstance(report, dict) or not isinstance(report.get("run"), dict) or not isinstance(report.get("hosts"), dict):
        raise Unusable(f"{path} is not a report of site.yml. Fix: name a report's JSON file, or remove this one")
    if report.get("format") != contents.FORMAT:
        fix = "run site.yml again, which writes a new report"
        raise Unusable(f"{path} has format {report.get('format')!r}, and this version reads format {contents.FORMAT}. Fix: {fix}")
    return report


def newest_first(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and report, newest first. Raises Unusable for one that cannot be read."""
    for name in names(folder):
        path = os.path.join(folder, name)
        try:
            yield path, load(path)
        except Unusable:
            # A run that prunes may have removed it meanwhile.
            if os.path.lexists(path):
                raise


def of_hosts(reports: Iterable[tuple[str, dict[str, Any]]], hosts: Mapping[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The first report with the state of each host, in the order of the hosts. Hosts without one are left out. Raises Unusable.

    A run in check mode counts as well: its state is that of the host. A host of the same name at another address is another one.

    :param hosts: address by name
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, report in reports:
        for name, address in hosts.items():
            entry = report["hosts"].get(name)
            if name not in found and isinstance(entry, dict) and entry.get("address") == address and entry.get("state"):
                found[name] = (path, report)
        if len(found) == len(hosts):
            break
    return {name: found[name] for name in hosts if name in found}
