# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM releases: a virtual environment named after its version and everything else that decides what is in it."""

from __future__ import annotations

import hashlib
import json

from dataclasses import dataclass
from typing import Any

from .settings import Settings
from .versions import Version

_HASH_DIGITS = 8


@dataclass(frozen=True)
class Release:
    """One release and where to install it from. The index is not part of its name: the same versions from a mirror are the same."""

    version: Version
    requirements: tuple[str, ...]
    overrides: tuple[str, ...]
    python: str
    torch_backend: str
    releases_dir: str
    index_url: str
    extra_index_urls: tuple[str, ...]
    find_links: tuple[str, ...]

    @property
    def name(self) -> str:
        inputs = [self.version.text, self.requirements, self.overrides, self.python, self.torch_backend]
        digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
        return f"vllm-{self.version.public}-{digest[:_HASH_DIGITS]}"

    @property
    def path(self) -> str:
        return f"{self.releases_dir}/{self.name}"

    def document(self) -> dict[str, Any]:
        """The release as the roles read it."""
        return {
            "name": self.name,
            "path": self.path,
            "version": self.version.text,
            "requirements": list(self.requirements),
            "overrides": list(self.overrides),
            "python": self.python,
            "torch_backend": self.torch_backend,
            "index": {"index_url": self.index_url, "extra_index_urls": list(self.extra_index_urls), "find_links": list(self.find_links)},
        }


def release_of(settings: Settings, version: Version) -> Release:
    """The release that serves this version on a host with these settings."""
    return Release(
        version=version,
        requirements=(f"vllm=={version.text}", *settings.vllm_requirements),
        overrides=settings.vllm_overrides,
        python=settings.vllm_python,
        torch_backend=settings.vllm_torch_backend,
        releases_dir=settings.vllm_releases_dir,
        index_url=settings.vllm_index_url or settings.host_index_url,
        extra_index_urls=settings.vllm_extra_index_urls or settings.host_extra_index_urls,
        find_links=settings.vllm_find_links or settings.host_find_links,
    )
