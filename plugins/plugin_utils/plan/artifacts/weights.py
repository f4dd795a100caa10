# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights: a revision of a repository, its path on a host, and its source."""

from __future__ import annotations

import hashlib

from dataclasses import dataclass
from typing import Any

from .. import values
from ..inputs import gguf
from ..inputs.addresses import bracketed
from ..inputs.services import Service
from ..inputs.settings import Settings, sharing
from ..inputs.settings.sharing import Share

_HASH_DIGITS = 8
# Repository names do not contain two dashes.
_SMALL = "--without-weights"


@dataclass(frozen=True)
class Weights:
    """A revision of a repository on a host; C(bytes) is the size of the download, None when unknown.

    C(folder) is a directory with pre-staged weights, on C(mount) where one is named; empty where the weights are in C(models_dir).
    C(offline) is whether the user copies them to C(models_dir). C(share) is the host's role in sharing them with other hosts.
    C(extra) is whether they are an extra repository, which may not contain a model; C(small) whether only its small files are needed. C(file) is the GGUF
    file that is the model, the only one that is downloaded with the further parts of a split one.
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
    file: str = ""

    @property
    def is_local(self) -> bool:
        """Whether they are pre-staged on the host and never downloaded."""
        return self.offline or bool(self.folder)

    @property
    def name(self) -> str:
        """The name in the download unit's name: lower-case and without slashes."""
        if self.folder:
            return f"local-{hashlib.sha256(self.folder.encode()).hexdigest()[:_HASH_DIGITS]}"
        is_commit = values.COMMIT.fullmatch(self.revision)
        digest = self.revision if is_commit else hashlib.sha256(self.revision.encode()).hexdigest()
        return f"{_flat(self.repo).lower()}{self._part.lower()}-{digest[:_HASH_DIGITS]}"

    @property
    def path(self) -> str:
        return self.folder or f"{self.models_dir}/{_flat(self.repo)}{self._part}/{_flat(self.revision)}"

    @property
    def _part(self) -> str:
        """The suffix for a partial repository, so that it is never taken for another part. Pre-staged repositories are complete."""
        if self.offline:
            return ""
        if not self.file:
            return _SMALL if self.small else ""
        # Files in two folders may have the same name.
        return f"--{gguf.short_name(self.file)}-{hashlib.sha256(self.file.encode()).hexdigest()[:_HASH_DIGITS]}"

    @property
    def model_path(self) -> str:
        """What vLLM gets as the model: the directory, or the file in it."""
        return f"{self.path}/{self.file}" if self.file else self.path

    def to_dict(self) -> dict[str, Any]:
        """The weights for the roles."""
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
            "file": self.file,
            "mount": self.mount,
            # The verification record of pre-staged weights is in another directory, since the roles never write next to them.
            "record": f"{self.state_dir}/verified/{self.name}.json" if self.is_local else "",
            "share": self.share.to_dict(),
        }


def weights_of(
    settings: Settings, repo: str, revision: str, size: int | None, exclude: tuple[str, ...] = (), service: Service | None = None,
    extra: bool = False, small: bool = False,
) -> Weights:
    """The weights of a repository's revision on a host with these settings; the size is in bytes.

    :param exclude: patterns of files in this repository that serving does not need, in addition to the settings
    :param service: the service that serves them, which may set their path
    :param extra: whether they are an extra repository
    :param small: whether only its small files are needed
    """
    patterns = tuple(dict.fromkeys((*settings.weights_exclude, *exclude)))
    folder, mount = (service.weights_path or "", service.weights_mount or "") if service is not None else ("", "")
    offline = settings.weights_offline
    endpoints = () if offline or folder else endpoints_of(settings)
    file = (service.gguf_file or "") if service is not None else ""
    include = (gguf.pattern(file),) if file else () if small else settings.weights_include
    return Weights(
        repo, revision, size, settings.weights_dir, patterns, endpoints, settings.host_state_dir, folder, mount, offline,
        include=include, token_endpoints=settings.weights_token_endpoints, extra=extra, small=small, file=file,
    )


def endpoints_of(settings: Settings) -> tuple[str, ...]:
    """The endpoints from which a host downloads, in this order: the site's mirror, then the endpoints in the settings."""
    if settings.weights_share != sharing.MIRROR or not settings.weights_mirror_address:
        return settings.weights_endpoints
    return tuple(dict.fromkeys((f"http://{bracketed(settings.weights_mirror_address)}:{settings.weights_mirror_port}", *settings.weights_endpoints)))


def _flat(name: str) -> str:
    return name.replace("/", "--")
