# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LoRA adapters of services: names, what the engine takes, the base model."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from ..artifacts.repositories import Extra
from ..errors import HIDDEN, PlanError, PlanWarning, shown
from ..inputs.lora_adapters import Adapter
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args, lora
from .base import check

PYTHONPATH = "PYTHONPATH"


@check()
def adapters_have_an_engine(host: HostDraft) -> Iterator[PlanError]:
    """The engine of a service with adapters has LoRA, and vLLM has it for the model."""
    for draft in host.services:
        adapters = draft.service.adapters
        if adapters is None and draft.given.get("enable_lora") is not True:
            continue
        names = shown(", ".join(adapter.name for adapter in adapters or ()))
        if draft.given.get("enable_lora") is not True:
            value = shown(draft.given.get("enable_lora"))
            fix = "remove it: adapters set it, or remove adapters"
            yield PlanError(host.name, draft.label, draft.where("enable_lora"), value, "the service has adapters", fix)
        class_name = draft.entry.architecture.class_name if draft.entry is not None else ""
        if not lora.has_lora(class_name, draft.version, draft.given):
            key, value = ("adapters", names) if adapters is not None else (draft.where("enable_lora"), "true")
            why = f"vLLM {draft.version.text} has no LoRA for {class_name}"
            fix = "remove adapters and enable_lora, or serve the model with the adapter merged into it"
            yield PlanError(host.name, draft.label, key, value, why, fix)


@check()
def adapter_names_are_free(host: HostDraft) -> Iterator[PlanError]:
    """An adapter has a name of its own in the API: neither the service's nor that of a module in lora_modules."""
    for draft in host.services:
        own = draft.service.served_model_names or (draft.service.name,)
        modules = lora.module_names(draft.given)
        for adapter in draft.service.adapters or ():
            if adapter.name in own:
                fix = "give the adapter another name, or change the service's served_model_name"
                yield PlanError(host.name, draft.label, adapter.key, shown(adapter.repo), "the base model has this name in the API", fix)
            elif adapter.name in modules:
                fix = "keep one of the two; an adapter here needs no restart"
                yield PlanError(host.name, draft.label, adapter.key, shown(adapter.repo), "vllm_args.lora_modules has a module of this name", fix)


@check()
def adapters_fit_max_lora_rank(host: HostDraft) -> Iterator[PlanError]:
    """The rank of each adapter whose adapter_config.json is known is at most max_lora_rank."""
    for draft, adapter, config in _known(host):
        rank = lora.rank_of(config)
        most = args.number(draft.given, "max_lora_rank") if "max_lora_rank" in draft.given else lora.DEFAULT_RANK
        if rank is None or most is None or rank <= most:
            continue
        enough = next((one for one in lora.RANKS if one >= rank), None)
        fix = f"set vllm_args.max_lora_rank to {enough}, which restarts the service" if enough else f"remove it: vLLM's highest rank is {lora.RANKS[-1]}"
        yield PlanError(host.name, draft.label, adapter.key, shown(adapter.repo), f"its rank is {rank}, and max_lora_rank is {most}", fix)


@check()
def adapter_features_are_supported(host: HostDraft) -> Iterator[PlanError]:
    """vLLM supports what the adapter_config.json of each adapter names."""
    for draft, adapter, config in _known(host):
        refused = lora.refused_features(config)
        if refused:
            fix = "name repo and revision of a plain LoRA adapter, to which PEFT can convert it, or serve the model with the adapter merged into it"
            yield PlanError(host.name, draft.label, adapter.key, shown(adapter.repo), shown(f"vLLM does not support {', '.join(refused)}"), fix)


@check()
def the_engine_finds_the_program_that_loads_adapters(host: HostDraft) -> Iterator[PlanError]:
    """No secret variable replaces the PYTHONPATH of an engine that follows the file with its adapters: it would not start."""
    for draft in host.services:
        if lora.VARIABLE in draft.environment and PYTHONPATH in draft.service.secret_names:
            why = "it replaces the path on which the engine finds the program that loads its adapters"
            fix = "move it to the service's environment, where the plan adds to it, or remove adapters"
            yield PlanError(host.name, draft.label, f"secret_environment.{PYTHONPATH}", HIDDEN, why, fix)


@check(accept="adapter-base")
def adapters_are_of_the_model(host: HostDraft) -> Iterator[PlanWarning]:
    """Each adapter was trained on the service's model, or on one that its name contains (a quantisation), as its adapter_config.json says."""
    for draft, adapter, config in _known(host):
        base = config.get("base_model_name_or_path")
        if not isinstance(base, str) or "/" not in base or base.startswith(("/", ".", "~")) or draft.weights is None:
            continue
        ours, theirs = (name.rpartition("/")[2].lower() for name in (draft.weights.repo, base))
        if not (ours.startswith(theirs) or theirs.startswith(ours)):
            text = f"{adapter.key}: {adapter.repo} was trained on {shown(base)}, and the service's model is {draft.weights.repo}"
            yield PlanWarning(host.name, draft.label, f"{text}; use an adapter of this model, or accept adapter-base if the two have the same weights")


@check()
def adapters_change_without_a_restart(host: HostDraft) -> Iterator[PlanWarning]:
    """A change of a service's adapters alone does not restart it."""
    for draft in host.services:
        if draft.adapters_restart:
            yield PlanWarning(host.name, draft.label, f"each change of its adapters restarts it: {draft.adapters_restart}")


def _known(host: HostDraft) -> Iterator[tuple[ServiceDraft, Adapter, Mapping[str, Any]]]:
    """Adapters with the contents of their adapter_config.json, where it is known: not of adapters in a subfolder."""
    for draft in host.services:
        extras: dict[str, Extra] = {extra.key: extra for extra in draft.extras}
        for adapter in draft.service.adapters or ():
            extra = extras.get(adapter.key)
            if extra is not None and isinstance(extra.adapter, Mapping) and not adapter.subfolder:
                yield draft, adapter, extra.adapter
