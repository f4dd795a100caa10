# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine C(transformers serve): release, command and environment. File names are those of Transformers 5.19.0 and 5.23.0.

It has no flag for the model name in its API: the name is that of the loaded model (serving/utils.py, C(_resolve_model)), and it lists the models
in its cache of the Hugging Face Hub (serving/model_manager.py, C(get_gen_models)). So before each start the unit links the weights into the
service's own cache, under the name to serve.
"""

from __future__ import annotations

import posixpath
import re

from typing import Any, Mapping

from ..inputs.services import Service
from ..inputs.settings import Settings
from ..inputs.settings.sources import Source
from ..versions import Version
from ..vllm import arguments as args
from ..vllm.engines import TRANSFORMERS
from . import cuda
from .releases import Release

# Flags that the plan sets or that have no effect here, each with the setting to use instead. Keys are those of transformers_args.
OWNED: dict[str, str] = {
    "force_model": "name the model with the service's model",
    "host": "set the address with the service's host",
    "port": "set the port with the service's port",
    "model_timeout": "leave it out: transformers serve never unloads a model that it loads at the start",
    "non_blocking": "leave it out: it is for the tests of Transformers",
}

# A valid name in the Hub's cache without an organisation (huggingface_hub, validate_repo_id); "--" stands for "/" in its directories.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")


def can_be_served_as(name: str) -> bool:
    """Whether the engine can serve a model under this name."""
    return bool(_NAME.fullmatch(name)) and "--" not in name and ".." not in name and not name.endswith((".git", ".gguf"))


def version_of(service: Service, settings: Settings) -> Version:
    return service.transformers_version or settings.vllm_transformers_version


def release_of(settings: Settings, version: Version) -> Release:
    """The release of a version of Transformers, separate from those of vLLM except for the interpreter and the indexes."""
    requirements = settings.vllm_transformers_requirements
    return Release(
        engine=TRANSFORMERS,
        package="transformers[serving]",
        version=version,
        source=Source(),
        requirements=requirements,
        overrides=settings.vllm_overrides,
        python=settings.vllm_python,
        torch_backend=settings.vllm_torch_backend,
        cpu=settings.vllm_torch_backend == "cpu" or any(requirement.endswith("+cpu") for requirement in requirements),
        build_environment={},
        # It compiles nothing with nvcc.
        toolkit=cuda.Toolkit(cuda.NONE),
        releases_dir=settings.vllm_releases_dir,
        index_url=settings.vllm_index_url or settings.host_index_url,
        extra_index_urls=settings.vllm_extra_index_urls or settings.host_extra_index_urls,
        find_links=settings.vllm_find_links or settings.host_find_links,
        no_index=settings.vllm_no_index,
    )


def environment(cache: str) -> dict[str, str | None]:
    """No network for models, no telemetry, and all caches under one directory.

    The caches are in hidden directories: the engine would take a directory with the model's name in its working directory for the model.
    """
    return {
        "HOME": cache,
        "HF_HOME": _home(cache),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/.cache/torchinductor",
        "TRITON_CACHE_DIR": f"{cache}/.cache/triton",
    }


def before_start(cache: str, served_name: str, weights_path: str) -> list[list[str]]:
    """Commands that link the weights under the served name into the service's own, otherwise empty cache of the Hub."""
    hub = f"{_home(cache)}/hub"
    model = f"{hub}/models--{served_name}"
    revision = posixpath.basename(weights_path)
    return [
        ["/bin/rm", "-rf", hub],
        ["/bin/mkdir", "-p", f"{model}/refs", f"{model}/snapshots"],
        ["/bin/ln", "-s", weights_path, f"{model}/snapshots/{revision}"],
        # The default revision.
        ["/bin/sh", "-c", f"printf %s {revision} > {model}/refs/main"],
    ]


def argv(release: Release, service: Service, served_name: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command of the service."""
    arguments_line = args.to_argv({"host": service.host, "port": service.port, **{key: arguments[key] for key in sorted(arguments)}})
    return [f"{release.path}/bin/transformers", "serve", served_name, *arguments_line]


def _home(cache: str) -> str:
    return f"{cache}/.cache/huggingface"
