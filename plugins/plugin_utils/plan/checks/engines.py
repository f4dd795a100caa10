# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines: a service uses only keys of its engine, and the user knows the engine's limits."""

from __future__ import annotations

from typing import Any, Iterator

from ..artifacts import transformers_engine
from ..errors import HIDDEN, InvalidValue, PlanError, PlanWarning, is_secret_name, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from ..vllm.engines import NAMES, TRANSFORMERS, VLLM
from .base import check

_LOOPBACK = ("127.", "::1", "localhost")

# Keys of a service that exist for one engine only, and what to write for the other.
_OF_ENGINE: dict[str, dict[str, str]] = {
    VLLM: {
        "vllm_args": "write the arguments of transformers serve under transformers_args, or leave engine out",
        "vllm_version": "set transformers_version, or leave engine out",
        "vllm_source": "set transformers_version, or leave engine out",
        "vllm_requirements": "set vllm_transformers_requirements for the host, or leave engine out",
        "profile": "leave it out, or leave engine out: profiles are arguments of vLLM",
        "preset": "leave it out, or leave engine out: presets are arguments of vLLM",
        "distributed": "leave engine out: transformers serve runs on one host",
        "disaggregation": "leave engine out: only vLLM transfers the KV cache",
        "gguf_file": "leave it out, or leave engine out: transformers serve is not tried with GGUF files",
        "adapters": "leave it out, or leave engine out: transformers serve takes no adapters",
        "tls_server_name": "leave it out: transformers serve does not support TLS",
    },
    TRANSFORMERS: {
        "transformers_args": "write it under vllm_args, or add engine: transformers",
        "transformers_version": "set vllm_version, or add engine: transformers",
    },
}


@check(every_engine=True)
def keys_match_the_engine(host: HostDraft) -> Iterator[PlanError]:
    """Each key of a service applies to its engine."""
    for draft in host.services:
        for engine, keys in _OF_ENGINE.items():
            if engine == draft.engine:
                continue
            for key, fix in keys.items():
                if getattr(draft.service, key):
                    why = f"this is for {NAMES[engine]}, and the service's engine is {draft.engine}"
                    yield PlanError(host.name, draft.label, key, _value(draft, key), why, fix)


def _value(draft: ServiceDraft, key: str) -> str:
    value = getattr(draft.service, key)
    return shown(value, key) if isinstance(value, (str, dict)) else ""


@check(every_engine=True)
def transformers_arguments_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """Arguments of transformers serve can be written on its command line, and none is set by the plan. Its own parser checks whether they exist."""
    for draft in _of_transformers(host):
        for key, value in draft.arguments.items():
            where = f"transformers_args.{key}"
            visible = HIDDEN if is_secret_name(key) else shown(value, key)
            if key.replace("-", "_") in transformers_engine.OWNED:
                yield PlanError(host.name, draft.label, where, visible, "the plan sets this flag", transformers_engine.OWNED[key.replace("-", "_")])
            elif not key.replace("_", "").isalnum():
                why = "keys of transformers_args are flag names with underscores"
                yield PlanError(host.name, draft.label, where, visible, why, f"write it like {key.strip('-').replace('-', '_')}")
            else:
                yield from _check_value(host, draft, where, visible, value)


def _check_value(host: HostDraft, draft: ServiceDraft, where: str, visible: str, value: Any) -> Iterator[PlanError]:
    try:
        args.check_value(value)
    except InvalidValue as bad:
        yield PlanError(host.name, draft.label, where, visible, bad.why, bad.fix)
        return
    if isinstance(value, (list, tuple)):
        yield PlanError(host.name, draft.label, where, visible, "no flag of transformers serve takes a list", "write one value")


@check(every_engine=True)
def served_name_is_valid(host: HostDraft) -> Iterator[PlanError]:
    """transformers serve can serve the model under this name: it takes the name from a directory of the Hub's cache."""
    for draft in _of_transformers(host):
        if len(draft.service.served_model_names) > 1:
            names = shown(list(draft.service.served_model_names))
            why = "transformers serve supports one name for its model"
            yield PlanError(host.name, draft.label, "served_model_name", names, why, "write one name, or leave engine out: vLLM supports several names")
            continue
        name = draft.service.served_model_name or draft.service.name
        if name is not None and not transformers_engine.can_be_served_as(name):
            key = "served_model_name" if draft.service.served_model_name else "name"
            why = "transformers serve cannot use this name: it has to be a valid directory name in the cache of the Hugging Face Hub"
            fix = "set served_model_name to up to 96 characters of letters, digits, ., _ and -, without -- and .., not ending with . or -"
            yield PlanError(host.name, draft.label, key, shown(name), why, fix)


@check(every_engine=True)
def api_key_is_enforced(host: HostDraft) -> Iterator[PlanError | PlanWarning]:
    """The engine enforces the API key: an unchecked key protects nothing."""
    for draft in _of_transformers(host):
        if not draft.service.has_api_key:
            continue
        if draft.service.host.startswith(_LOOPBACK):
            what = "transformers serve does not check API keys: every user of the host can use the service"
            yield PlanWarning(host.name, draft.label, f"{what}; a reverse proxy in front of it has to check api_key")
        else:
            why = f"transformers serve does not check API keys, and the service listens on {draft.service.host} for all clients"
            fix = "set the service's host to 127.0.0.1 and let a reverse proxy check the key; or leave engine out: vLLM checks it"
            yield PlanError(host.name, draft.label, "api_key", HIDDEN, why, fix)


@check(accept="single-user", every_engine=True)
def engine_supports_several_users(host: HostDraft) -> Iterator[PlanWarning]:
    """The engine is meant for several users: transformers serve is not."""
    for draft in _of_transformers(host):
        batches = draft.arguments.get("continuous_batching") is True
        turns = "" if batches else "answers one request at a time (unless transformers_args has continuous_batching: true), "
        what = f"the engine transformers is for a single developer: it {turns}does not check API keys, and has no tool_choice and no structured output"
        yield PlanWarning(host.name, draft.label, f"{what}; its memory is not estimated")


def _of_transformers(host: HostDraft) -> list[ServiceDraft]:
    return [draft for draft in host.services if draft.engine == TRANSFORMERS]
