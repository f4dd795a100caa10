# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The advisories that apply to a service."""

from __future__ import annotations

from typing import Any

from ..artifacts.releases import ray_of
from ..inputs.distributed import RAY
from ..placement.draft import HostDraft, ServiceDraft
from ..versions import parse
from ..vllm import arguments as args
from ..vllm.advisories import Advisory
from ..vllm.engines import VLLM
from .firewall import is_open


def of_service(host: HostDraft, draft: ServiceDraft) -> list[Advisory]:
    """The advisories that apply to a service, accepted ones too."""
    facts = {**host.tables.advisories.defaults, **facts_of(draft)}
    return [advisory for advisory in host.tables.advisories.all if advisory.applies(facts)]


def facts_of(draft: ServiceDraft) -> dict[str, Any]:
    """What is known of a service, by the names that advisories use."""
    facts: dict[str, Any] = {f"arguments.{key}": value for key, value in draft.arguments.items()}
    for key in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        # As a number, even where the user wrote it as text.
        facts[f"arguments.{key}"] = args.size(draft.arguments, key)
    if draft.is_distributed and draft.service.distributed is not None and draft.service.distributed.backend == RAY:
        facts["ray"] = parse(ray_of(draft.release.requirements))
        # The roles create a token.
        facts["ray.token"] = True
    facts["vllm"] = draft.version if draft.engine == VLLM else None
    facts["service.api_key"] = draft.service.has_api_key
    facts["service.open"] = is_open(draft)
    return facts
