# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights: one pinned revision of a repository, where it lies on a host, and how it gets there."""

from __future__ import annotations

import hashlib

from dataclasses import dataclass
from typing import Any

from .. import values
from ..inputs.addresses import bracketed
from ..inputs.services import Service
from ..inputs.settings import Settings, sharing
from ..inputs.settings.sharing import Share

_HASH_DIGITS = 8
# No repository's name has two dashes.
_SMALL = "--without-weights"


@dataclass(frozen=True)
class Weights:
    """A revision of a repository on a host; C(bytes) is the size of the download, None when unknown.

    C(folder) is a directory that somebody else filled, below C(mount) where one is named; empty where the weights have their place below
    C(models_dir). C(offline) is whether they are brought there by hand. C(share) is the host's part in sharing them with others.
    C(extra) is whether they are of a repository beside the model's, which need not hold a model; C(small) whether only its small files are wanted.
    """

    repo: str
    revision: str
    bytes: int | None
    models_dir: str
    exclude: tuple[str, ...]
    endpoints: tuple[str, ...]
    state_dir: str = ""
    folder: str = ""
    mount: str = ""
    offline: bool = False
    share: Share = Share()
    include: tuple[str, ...] = ()
    token_endpoints: tuple[str, ...] = ()
    extra: bool = False
    small: bool = False

    @property
    def is_local(self) -> bool:
        """Whether they are used as they lie on the host, and nothing is ever downloaded."""
        return self.offline or bool(self.folder)

    @property
    def name(self) -> str:
        """Part of the download unit's name, so lower-case and without slashes."""
        if self.folder:
            return f"local-{hashlib.sha256(self.folder.encode()).hexdigest()[:_HASH_DIGITS]}"
        is_commit = values.COMMIT.fullmatch(self.revision)
        digest = self.revision if is_commit else hashlib.sha256(self.revision.encode()).hexdigest()
        return f"{_flat(self.repo).lower()}{self._part}-{digest[:_HASH_DIGITS]}"

    @property
    def path(self) -> str:
        return self.folder or f"{self.models_dir}/{_flat(self.repo)}{self._part}/{_flat(self.revision)}"

    @property
    def _part(self) -> str:
        """A part of a repository has a folder of its own: one without weights is never taken for the model. What is brought by hand is brought whole."""
        return _SMALL if self.small and not self.offline else ""

    def to_dict(self) -> dict[str, Any]:
        """The weights as the roles read them."""
        return {
            "name": self.name,
            "repo": self.repo,
            "revision": self.revision,
            "path": self.path,
            "manifest": f"{self.path}.manifest.json",
            "bytes": self.bytes,
            "exclude": list(self.exclude),
            "include": list(self.include),
            "token_endpoints": list(self.token_endpoints),
            "endpoints": list(self.endpoints),
            "unit": f"inferops-weights-{self.name}.service",
            "local": self.is_local,
            "extra": self.extra,
            "mount": self.mount,
            # What was found of weights that are not ours stands apart from them: nothing is ever written beside those.
            "record": f"{self.state_dir}/verified/{self.name}.json" if self.is_local else "",
            "share": self.share.to_dict(),
        }


def weights_of(
    settings: Settings, repo: str, revision: str, size: int | None, exclude: tuple[str, ...] = (), service: Service | None = None,
    extra: bool = False, small: bool = False,
) -> Weights:
    """The weights of a repository's revision on a host with these settings; the size is in bytes.

    :param exclude: patterns of files that this repository has and serving does not need, beside those of the settings
    :param service: the service that serves them, which may say where they lie
    :param extra: whether they are of a repository beside the model's
    :param small: whether only small files of it are wanted
    """
    patterns = tuple(dict.fromkeys((*settings.weights_exclude, *exclude)))
    folder, mount = (service.weights_path or "", service.weights_mount or "") if service is not None else ("", "")
    offline = settings.weights_offline
    endpoints = () if offline or folder else endpoints_of(settings)
    return Weights(
        repo, revision, size, settings.weights_dir, patterns, endpoints, settings.host_state_dir, folder, mount, offline,
        include=() if small else settings.weights_include, token_endpoints=settings.weights_token_endpoints, extra=extra, small=small,
    )


def endpoints_of(settings: Settings) -> tuple[str, ...]:
    """Where a host downloads from, in this order: the site's own mirror goes before what the settings name."""
    if settings.weights_share != sharing.MIRROR or not settings.weights_mirror_address:
        return settings.weights_endpoints
    return tuple(dict.fromkeys((f"http://{bracketed(settings.weights_mirror_address)}:{settings.weights_mirror_port}", *settings.weights_endpoints)))


def _flat(name: str) -> str:
    return name.replace("/", "--")
