# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The support bundle of a host: everything that a maintainer asks for, in one archive, without the secrets of the host."""

from __future__ import annotations

import os
import typing as t

from .. import _reading
from ..diagnosis import units
from ..diagnosis.commands import Unread
from . import archive, contents, secrets

# Time limit of each item in seconds.
SECONDS = 30


class Wanted(t.NamedTuple):
    """C(documents) are texts of the controller by name, C(given) its secrets, C(lines) the journal lines of each unit, C(limit) the size in bytes."""

    name: str
    documents: t.Mapping[str, str]
    given: t.Sequence[str]
    directories: secrets.Directories
    install_dir: str
    releases_dir: str
    lines: int
    limit: int


def make(wanted: Wanted, folder: str) -> dict[str, t.Any]:
    """Write the bundle into a directory, and return its path, what C(archive.write) returns, C(missing), and the number of secrets.

    Raises OSError, Unread when the units cannot be read (then their secrets are unknown), and SecretFound.
    """
    found, failed = _reading.ask({"units": lambda: [unit._asdict() for unit in units.read()]}, SECONDS)
    if failed:
        raise Unread(f"the units of services cannot be read, and so their secrets are unknown: {failed['units']}")
    managed = [units.Unit(**unit) for unit in found["units"]]
    known = secrets.read(wanted.directories, managed, wanted.given)
    searched = secrets.forms(known)
    items = items_of(wanted)
    texts, missing = collect(items)
    path = os.path.join(folder, f"{wanted.name}.tar.gz")
    members = [archive.Member(name, texts[name]) for name, _read in items if name in texts]
    written = archive.write(path, wanted.name, members, missing, searched, wanted.limit)
    return {"path": path, "missing": missing, "secrets": len(known), **written}


def items_of(wanted: Wanted) -> list[contents.Item]:
    """All items, the most important first."""
    documents: list[contents.Item] = [(name, lambda text=text: text) for name, text in wanted.documents.items()]  # type: ignore[misc]
    failures = os.path.join(wanted.directories.state, "failures")
    of_units = [item for unit in contents.managed_units() for item in contents.of_unit(unit, wanted.lines, failures)]
    return [
        *documents, *of_units, *contents.of_host(wanted.install_dir), *contents.of_environments(wanted.directories.config),
        *contents.of_releases(wanted.releases_dir),
    ]


def collect(items: t.Sequence[contents.Item], seconds: float = SECONDS) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the texts of the items by name, at most C(contents.LONGEST) bytes of each, and why others could not be read."""
    found, failed = _reading.ask({name: _job(read) for name, read in items}, seconds)
    texts, missing = {}, dict(failed)
    for name, (text, reason) in found.items():
        if reason:
            missing[name] = reason
        else:
            texts[name] = text.encode("utf-8", "replace")
    return texts, missing


def _job(read: t.Callable[[], str]) -> t.Callable[[], tuple[str, str]]:
    def run() -> tuple[str, str]:
        try:
            text = _reading.clean(read())
        except Unread as problem:
            return "", str(problem)
        if len(text) > contents.LONGEST:
            text = f"… ({len(text) - contents.LONGEST} characters before this are left out)\n{text[-contents.LONGEST:]}"
        return text, ""

    return run
