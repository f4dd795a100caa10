# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights: one pinned revision of a repository, and where it lies on a host."""

from __future__ import annotations

import hashlib

from dataclasses import dataclass
from typing import Any

from . import values
from .settings import Settings

_HASH_DIGITS = 8


@dataclass(frozen=True)
class Weights:
    """A revision of a repository on a host; C(bytes) is the size of the download, None when unknown."""

    repo: str
    revision: str
    bytes: int | None
    models_dir: str
    exclude: tuple[str, ...]
    endpoints: tuple[str, ...]

    @property
    def name(self) -> str:
        """Part of the download unit's name, so lower-case and without slashes."""
        is_commit = values.COMMIT.fullmatch(self.revision)
        digest = self.revision if is_commit else hashlib.sha256(self.revision.encode()).hexdigest()
        return f"{_flat(self.repo).lower()}-{digest[:_HASH_DIGITS]}"

    @property
    def path(self) -> str:
        return f"{self.models_dir}/{_flat(self.repo)}/{_flat(self.revision)}"

    def document(self) -> dict[str, Any]:
        """The weights as the roles read them."""
        return {
            "name": self.name,
            "repo": self.repo,
            "revision": self.revision,
            "path": self.path,
            "manifest": f"{self.path}.manifest.json",
            "bytes": self.bytes,
            "exclude": list(self.exclude),
            "endpoints": list(self.endpoints),
            "unit": f"inferops-weights-{self.name}.service",
        }


def weights_of(settings: Settings, repo: str, revision: str, size: int | None, exclude: tuple[str, ...] = ()) -> Weights:
    """The weights of a repository's revision on a host with these settings; the size is in bytes.

    :param exclude: patterns of files that this repository has and serving does not need, beside those of the settings
    """
    patterns = tuple(dict.fromkeys((*settings.weights_exclude, *exclude)))
    return Weights(repo, revision, size, settings.weights_dir, patterns, settings.weights_endpoints)


def _flat(name: str) -> str:
    return name.replace("/", "--")
