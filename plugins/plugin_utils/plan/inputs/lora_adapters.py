# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key C(adapters) of a service: LoRA adapters by their name in the API."""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Any

from .. import values
from ..errors import InvalidValue, did_you_mean

KEYS = ("repo", "revision", "subfolder")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class Adapter:
    """An adapter of a repository. C(revision) is None where extra_repositories pins it, or nothing does; C(subfolder) is empty for the repository itself."""

    name: str
    repo: str
    revision: str | None = None
    subfolder: str = ""

    @property
    def key(self) -> str:
        """Its key in the service."""
        return f"adapters.{self.name}"


def read(value: Any) -> tuple[Adapter, ...]:
    """The adapters of a service, sorted by name.

    :raises InvalidValue: with the reason, which names the adapter
    """
    return tuple(_read_one(name, item) for name, item in sorted(values.mapping(value).items()))


def _read_one(name: str, item: Any) -> Adapter:
    fix = f"write {{{name}: {{repo: <organisation>/<name>, revision: <commit>}}}}"
    try:
        values.word(name)
    except InvalidValue as bad:
        raise InvalidValue(f"the name {name!r}: {bad.why}", bad.fix) from bad
    if name.startswith("-"):
        raise InvalidValue(f"the name {name!r} begins with a dash", "write a name without a leading dash")
    if not isinstance(item, dict) or "repo" not in item:
        raise InvalidValue(f"{name} names no repository", fix)
    for key in item:
        if key not in KEYS:
            raise InvalidValue(f"{name} has a key {key!r}", did_you_mean(key, KEYS, f"an adapter has {', '.join(KEYS)}"))
    subfolder = item.get("subfolder")
    if subfolder is not None and (not isinstance(subfolder, str) or not _FOLDER.fullmatch(subfolder)):
        raise InvalidValue(f"the subfolder of {name} is no directory of a repository", "write it as in the repository, without / at the beginning or the end")
    try:
        repo = values.repo(item["repo"])
        revision = None if item.get("revision") is None else values.revision(item["revision"])
    except InvalidValue as bad:
        raise InvalidValue(f"{name}: {bad.why}", bad.fix) from bad
    return Adapter(name, repo, revision, subfolder or "")
