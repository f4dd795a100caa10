# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: a virtual environment with a name from its engine, its version and a hash of everything else that determines its contents."""

from __future__ import annotations

import hashlib
import json
import re

from dataclasses import dataclass
from typing import Any

from ..inputs.settings import Settings
from ..inputs.settings.sources import GIT, Source
from ..versions import Version
from ..vllm.platforms import Numbers
from . import cuda

VLLM = "vllm"

_HASH_DIGITS = 8
# A requirement begins with the name of its package.
_NAME = re.compile(r"[A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Release:
    """One release and its package indexes. The indexes are not part of its name, since a mirror has the same versions.

    C(package) is the engine's package with its extras, C(requirements) are further packages, C(cpu) is whether it may run on CPUs only, and
    C(build_environment) are environment variables for a build from source.
    """

    engine: str
    package: str
    version: Version
    source: Source
    requirements: tuple[str, ...]
    overrides: tuple[str, ...]
    python: str
    torch_backend: str
    cpu: bool
    build_environment: dict[str, str]
    toolkit: cuda.Toolkit
    releases_dir: str
    index_url: str
    extra_index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    no_index: bool

    @property
    def name(self) -> str:
        inputs: list[Any] = [self.version.text, self.requirement, self.requirements, self.overrides, self.python, self.torch_backend]
        if self.source != Source():
            inputs += [self.source.to_dict(), sorted(self.build_environment.items())]
        if self.toolkit.path:
            inputs.append(self.toolkit.path)
        digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
        return f"{self.engine}-{self.version.public}-{digest[:_HASH_DIGITS]}"

    @property
    def requirement(self) -> str:
        """The requirement for the engine itself."""
        return f"{self.package}=={self.version.text}"

    @property
    def path(self) -> str:
        return f"{self.releases_dir}/{self.name}"

    @property
    def needs_git(self) -> bool:
        return self.source.kind == GIT

    def to_dict(self) -> dict[str, Any]:
        """The release for the roles."""
        return {
            "name": self.name,
            "path": self.path,
            "engine": self.engine,
            "package": self.package,
            "version": self.version.text,
            "source": self.source.to_dict(),
            "requirements": list(self.requirements),
            "overrides": list(self.overrides),
            "python": self.python,
            "torch_backend": self.torch_backend,
            "cpu": self.cpu,
            "build_environment": self.build_environment,
            "verify_commands": self.toolkit.verify_commands(self.path),
            "cuda": self.toolkit.to_dict(),
            "index": {
                "index_url": self.index_url,
                "extra_index_urls": list(self.extra_index_urls),
                "find_links": list(self.find_links),
                "no_index": self.no_index,
            },
        }


def with_ray(requirements: tuple[str, ...], version: str) -> tuple[str, ...]:
    """Requirements with Ray, which vLLM does not install: in this version, unless they already contain Ray."""
    return requirements if any(_is_ray(requirement) for requirement in requirements) else (*requirements, f"ray=={version}")


def ray_of(requirements: tuple[str, ...]) -> str:
    """The pinned version of Ray in the requirements; empty without one."""
    return next((requirement.partition("==")[2].split(";")[0].strip() for requirement in requirements if _is_ray(requirement)), "")


def _is_ray(requirement: str) -> bool:
    name = _NAME.match(requirement)
    return name is not None and name.group().lower() == "ray"


def release_of(settings: Settings, version: Version, cuda_version: Numbers = ()) -> Release:
    """The vLLM release of this version on a host with these settings.

    :param cuda_version: the CUDA version of the release's torch, empty when unknown
    """
    toolkit = cuda.toolkit_of(settings, version, cuda_version)
    return Release(
        engine=VLLM,
        package="vllm",
        version=version,
        source=settings.vllm_source,
        requirements=(*settings.vllm_requirements, *toolkit.requirements),
        overrides=settings.vllm_overrides,
        python=settings.vllm_python,
        torch_backend=settings.vllm_torch_backend,
        cpu=version.is_cpu_build or settings.vllm_torch_backend == "cpu",
        build_environment=dict(settings.vllm_build_environment),
        toolkit=toolkit,
        releases_dir=settings.vllm_releases_dir,
        index_url=settings.vllm_index_url or settings.host_index_url,
        extra_index_urls=settings.vllm_extra_index_urls or settings.host_extra_index_urls,
        find_links=settings.vllm_find_links or settings.host_find_links,
        no_index=settings.vllm_no_index,
    )
