# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolved plan of a host, as the roles read it: built from the classes in C(types), returned as plain dictionaries and lists."""

from __future__ import annotations

import hashlib
import json

from dataclasses import asdict
from typing import Any, Callable, Mapping, TypeVar

from ansible_collections.inferops.gpu.plugins.module_utils import _green as _green_files

from ..artifacts import transformers_engine
from ..artifacts.weights import Weights
from ..host import directories, tls
from ..host.firewall import firewall_of
from ..host.kernel import kernel_of
from ..host.monitoring import monitoring_of
from ..host.packages import packages_of
from ..inputs import service_files
from ..inputs.addresses import bracketed
from ..inputs.distributed import RAY
from ..inputs.facts import HostFacts
from ..inputs.services import Service
from ..inputs.settings.accounts import account_name
from ..inputs.settings.sharing import SOURCE
from ..placement import node_units
from ..placement.draft import HostDraft, ServiceDraft, adapters_file
from ..placement.green import Green, as_green, green_of, green_unit, planned
from ..placement.stages import memory_document, stages_document
from ..programs import library
from ..vllm import arguments as args, lora
from ..vllm.engines import TRANSFORMERS, VLLM
from . import service_items, types

T = TypeVar("T")

# Addresses for all interfaces, each with the loopback address at which the host reaches a service that listens there.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def host_document(host: HostDraft, defined_in: list[str], replicas: Mapping[str, list[str]]) -> dict[str, Any]:
    """The resolved plan of a host without errors.

    :param defined_in: the variables that define its services
    :param replicas: hosts of each service's replicas
    """
    settings = host.settings
    releases = {draft.release.name: _release(draft) for draft in host.services}
    # A repository may be the model of one service and an extra repository of another. The model's entry is used then.
    needed = sorted((weights for draft in host.services for weights in draft.all_weights), key=lambda weights: weights.extra)
    weights = {one.name: _weights_document(host, one) for one in reversed(needed)}
    plan = types.HostPlan(
        host=host.name,
        account=types.HostAccount(settings.host_user, settings.host_group, settings.host_home, _groups(host)),
        paths=types.Paths(
            config=settings.host_config_dir,
            install=settings.host_install_dir,
            library=library(settings.host_install_dir),
            releases=settings.vllm_releases_dir,
            models=settings.weights_dir,
            state=settings.host_state_dir,
            cache=settings.host_cache_dir,
        ),
        packages=packages_of(host),
        directories=directories.to_mend(directories.of_host(settings), host.facts),
        proxy=_typed(types.Proxy, host.proxy.to_dict()),
        firewall=_firewall(host),
        kernel=kernel_of(settings, host.facts.kernel if host.facts is not None else None),
        releases=list(releases.values()),
        weights=[weights[name] for name in dict.fromkeys(one.name for one in needed)],
        weights_share_peers=_share_peers(host),
        services=[_present(host, draft, replicas) for draft in host.services] + [_absent(host, service) for service in host.absent],
        monitoring=_typed(types.Monitoring, monitoring_of(host)),
        defined_in=defined_in,
    )
    return asdict(plan)


def _typed(kind: Callable[..., T], found: Mapping[str, Any] | None) -> T | None:
    """A part of the plan as an instance of its type, which refuses unknown keys."""
    return None if found is None else kind(**found)


def _firewall(host: HostDraft) -> types.Firewall:
    found = firewall_of(host)
    return types.Firewall(**{**found, "rules": [types.FirewallRule(**rule) for rule in found["rules"]]})


def _release(draft: ServiceDraft) -> types.Release:
    found = draft.release.to_dict()
    return types.Release(**{**found, "source": types.Source(**found["source"]), "index": types.Index(**found["index"])})


def _present(host: HostDraft, draft: ServiceDraft, replicas: Mapping[str, list[str]]) -> types.Service:
    service = draft.service
    settings = host.settings
    weights = draft.weights.to_dict() if draft.weights else {}
    argv = _argv(draft, draft.weights.model_path if draft.weights else weights["path"])
    local_url = _url(draft, _LOOPBACK.get(service.host, "")) if draft.answers else None
    units = [unit.to_dict() for unit in node_units.units_of(host, draft, argv, local_url)]
    document = {
        "name": service.name,
        "state": service.state,
        # The main unit of the service on this host: the service is ready when it is active.
        "unit": node_units.unit_name(draft),
        "engine": draft.engine,
        "model": service.model,
        "repo": weights["repo"],
        "revision": weights["revision"],
        "release": draft.release.name,
        "release_path": draft.release.path,
        "weights": weights["name"],
        "weights_path": weights["path"],
        "served_model_name": _served_name(service),
        "address": service.host,
        "port": service.port,
        # In a multi-node service only the head has the API, or each node has one.
        "url": _url(draft, host.address) if draft.answers else None,
        "local_url": local_url,
        "task": draft.task,
        "thinking": _thinking(draft),
        "thinking_switch": _thinking_switch(draft),
        "tls": tls.to_dict(host, draft),
        "gpus": list(draft.gpus or ()),
        "argv": argv,
        "environment": draft.environment,
        "account": _account(host, service),
        "own_folders": units[0]["own_folders"],
        "environment_file": units[0]["environment_file"],
        "served": units[0]["served"],
        "cache": draft.cache,
        "before_start": _before_start(draft, weights["path"]),
        "has_api_key": service.has_api_key,
        "node": _node_identity(draft),
        # The units of the service on this host, the main unit first.
        "units": units,
        # Units that it may have had in another role or with another backend, which are removed.
        "former_units": node_units.other_units(host, service, [unit["unit"] for unit in units]),
        "timeouts": {"start": settings.model_service_start_timeout, "stop": settings.model_service_stop_timeout, "shutdown": draft.shutdown_timeout},
    }
    # Two runs of the plan give a service the same digest if and only if its configuration is the same. Estimates are not part of it.
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    files = _files(host, service, node_units.unit_name(draft))
    # Paths of files on the controller are not part of it either. The arguments contain the files' paths on the host, which have a digest of the
    # contents, and all names in the API.
    beside: dict[str, Any] = {
        "all_weights": list(dict.fromkeys(one.name for one in draft.all_weights)),
        "extra_repositories": [extra.to_dict() for extra in draft.extras],
        "files": files,
        "adapters": _adapters(host, draft),
        "arguments_checked": draft.engine == VLLM and host.tables.types.covers(draft.version),
        "arguments_stamp": f"{settings.host_state_dir}/checked/{service.name}",
        "directories": directories.to_mend(service_items.directories(document["account"], draft.cache, units, settings.host_user), host.facts),
        "unit_states": service_items.unit_states({**document, "files": asdict(files), "adapters_file": _adapters_file(host, service)}),
        "file_sources": [{"name": file.name, "source": file.source} for file in service.files],
        "served_model_names": list(service.served_model_names) or [service.name],
        "node": _node(draft),
        "missing_account": _missing_account(host, document),
        "replicas": [] if draft.is_distributed else replicas.get(str(service.name), []),
        "green": _green(host, draft, weights["path"]),
    }
    beside |= {"memory": _typed(types.Memory, memory_document(host, draft)), "stages": _typed(types.Stages, stages_document(host, draft))}
    return types.Service(**{
        **document, **beside, "digest": digest, "account": types.Account(**document["account"]), "tls": _typed(types.Tls, document["tls"]),
        "timeouts": types.Timeouts(**document["timeouts"]),
    })


def _green(host: HostDraft, draft: ServiceDraft, weights_path: str) -> types.Green | None:
    """The temporary unit of a blue/green update. It is not part of the digest: it changes nothing in the service."""
    green = green_of(host, draft)
    if green is None:
        return None
    service = _green_service(host, draft, green, weights_path) if planned(host, draft) is not None else None
    return types.Green(green.unit, green.port, list(green.gpus), green.why, service)


def _green_service(host: HostDraft, draft: ServiceDraft, green: Green, weights_path: str) -> dict[str, Any]:
    """The keys of the service that differ in its temporary unit."""
    twin = as_green(draft, green, host.is_amd)
    local_url = _url(twin, _LOOPBACK.get(twin.service.host, ""))
    argv = [tls.with_credentials_of(word, draft.service.unit, green.unit) for word in _argv(twin, draft.weights.model_path if draft.weights else weights_path)]
    unit = green_unit(host, draft, green, argv, local_url).to_dict()
    found = tls.to_dict(host, draft)
    adapters = asdict(_adapters(host, draft))
    return {
        "unit": green.unit,
        "unit_directory": _green_files.DIRECTORY,
        "port": green.port,
        "gpus": list(twin.gpus or ()),
        "local_url": local_url,
        "argv": argv,
        "environment": twin.environment,
        "environment_file": unit["environment_file"],
        "adapters": {**adapters, "file": twin.environment[lora.VARIABLE] if adapters["file"] else ""},
        "tls": None if found is None else {**found, "unit": green.unit},
        # The first creates the directory of its caches.
        "before_start": [["/bin/mkdir", "-p", twin.cache], *_before_start(twin, weights_path)],
        "units": [unit],
    }


def _node(draft: ServiceDraft) -> dict[str, Any] | None:
    """This host's node, with the ports for the connectivity check. These follow from other values and are not part of the digest."""
    found = _node_identity(draft)
    if found is None or draft.placement is None:
        return None
    return {**found, "open_ports": node_units.open_ports(draft.placement), "peers": node_units.peers(draft.placement)}


def _node_identity(draft: ServiceDraft) -> dict[str, Any] | None:
    """This host's node of a multi-node service, with the ports that the other nodes have to reach."""
    if draft.placement is None:
        return None
    transport = draft.transport
    return {
        **draft.placement.to_dict(),
        "ports": node_units.ports(draft.placement),
        "network": node_units.network_digest(draft.placement, transport.name if transport is not None else ""),
        "transport": None if transport is None else {"name": transport.name, "expects": transport.expects, "devices": transport.devices},
    }


def _weights_document(host: HostDraft, weights: Weights) -> types.Weights:
    """The weights, the size of the missing download, and whether the weights have been verified since they last changed."""
    verified = host.facts is not None and (weights.path in host.facts.verified if weights.is_local else _is_complete(host.facts, weights))
    found = weights.to_dict()
    share = types.Share(**found["share"], download=service_items.share_download(found, host.settings.weights_share_stall_timeout))
    return types.Weights(**{**found, "share": share, "to_fetch": _to_fetch(host, weights), "verified": verified})


def _share_peers(host: HostDraft) -> list[str]:
    """Addresses of the hosts that copy weights from this one during the run."""
    sources = [weights for draft in host.services for weights in draft.all_weights if weights.share.role == SOURCE]
    return sorted({peer for weights in sources for peer in weights.share.peers})


def _is_complete(facts: HostFacts, weights: Weights) -> bool:
    """Whether the host has the weights, with the files that the patterns select now. Manifests of earlier versions contain no patterns: these
    weights are complete unless the settings name the files to download."""
    chosen = (frozenset(weights.include), frozenset(weights.exclude))
    former = facts.weights_patterns.get(weights.path)
    return weights.path in facts.weights and (former == chosen if former is not None else not weights.include)


def _to_fetch(host: HostDraft, weights: Weights) -> int | None:
    """Bytes that a run will download, None when unknown. Without facts of the host it is the whole size."""
    if weights.is_local or (host.facts is not None and _is_complete(host.facts, weights)):
        return 0
    if host.facts is not None and weights.path in host.facts.weights:
        # The patterns have changed. Only the download finds out the size of the files that are missing now.
        return None
    there = host.facts.partial_weights.get(weights.path, 0) if host.facts is not None else 0
    return None if weights.bytes is None else max(0, weights.bytes - there)


def _thinking(draft: ServiceDraft) -> str:
    """Whether the model reasons before it answers: never, always or hybrid; empty for an unknown model."""
    return draft.entry.thinking if draft.entry else ""


def _thinking_switch(draft: ServiceDraft) -> str:
    """The argument of the chat template that turns the thinking of a hybrid model off; empty for other models.

    Mistral's own tokenizer has no template, and refuses a request with arguments for one.
    """
    if draft.entry is None or draft.entry.thinking != "hybrid" or draft.given.get("tokenizer_mode") == "mistral":
        return ""
    return draft.entry.thinking_switch or "enable_thinking"


def _absent(host: HostDraft, service: Service) -> types.RemovedService:
    document: dict[str, Any] = {
        "name": str(service.name),
        "state": service.state,
        "unit": service.unit,
        "environment_file": _environment_file(host, service),
        "served": _served_file(host, service),
        "cache": f"{host.settings.host_cache_dir}/{service.name}",
        "units": [],
        # All units that it may have had.
        "former_units": node_units.other_units(host, service),
    }
    account, files = types.Account(**_account(host, service)), _files(host, service, service.unit)
    states = service_items.unit_states({**document, "account": asdict(account), "files": asdict(files), "adapters_file": _adapters_file(host, service)})
    return types.RemovedService(**document, account=account, files=files, unit_states=states)


def _account(host: HostDraft, service: Service) -> dict[str, str]:
    """The service's own account, with a group of the same name."""
    name = account_name(host.settings.model_service_account_prefix, str(service.name))
    return {"user": name, "group": name}


def _groups(host: HostDraft) -> list[str]:
    """Groups of the services' accounts. An administrator may have added the download account to the group that owns the GPU devices."""
    return [host.settings.host_group, *(host.facts.account_groups if host.facts is not None else ())]


def _missing_account(host: HostDraft, service: Mapping[str, Any]) -> dict[str, Any] | None:
    """The account to create or to add to groups; None if it exists with all of its groups."""
    user = service["account"]["user"]
    members = host.facts.account_members if host.facts is not None else {}
    if user in members and members[user].issuperset(_groups(host)):
        return None
    return {"user": user, "service": service["name"], "home": service["cache"]}


def _files(host: HostDraft, service: Service, unit: str) -> types.Files:
    """The directories of the service's files from the controller, and the files on the host that name the directories that are still needed."""
    config = host.settings.host_config_dir
    return types.Files(
        root=service_files.root(config, service.name or ""),
        folder=service_files.folder(config, service.name or "", service.files),
        named_by=[f"/etc/systemd/system/{unit}", _served_file(host, service)],
    )


def _adapters(host: HostDraft, draft: ServiceDraft) -> types.Adapters:
    """The LoRA adapters. A change of those in the file is no change of the service, which takes them in while it runs."""
    names = lora.module_names(draft.arguments)
    follows = lora.VARIABLE in draft.environment and draft.answers
    file = _adapters_file(host, draft.service) if follows else ""
    return types.Adapters(dict(draft.adapters), [name for name in names if name not in draft.adapters], file)


def _environment_file(host: HostDraft, service: Service) -> str:
    return f"{host.settings.host_config_dir}/{service.name}.env"


def _adapters_file(host: HostDraft, service: Service) -> str:
    return adapters_file(host.settings.host_config_dir, str(service.name))


def _served_file(host: HostDraft, service: Service) -> str:
    """The file with the last known good state of the service, which has passed the health gate."""
    return f"{host.settings.host_state_dir}/served/{service.name}.json"


def _served_name(service: Service) -> str | None:
    return service.served_model_name or service.name


def _before_start(draft: ServiceDraft, weights_path: str) -> list[list[str]]:
    """Commands that the unit runs before each start."""
    commands = draft.release.toolkit.before_start(draft.release.path, draft.cache)
    if draft.engine == TRANSFORMERS:
        commands = [*commands, *transformers_engine.before_start(draft.cache, _served_name(draft.service) or "", weights_path)]
    return commands


def _argv(draft: ServiceDraft, weights_path: str) -> list[str]:
    service = draft.service
    if draft.engine == TRANSFORMERS:
        return transformers_engine.argv(draft.release, service, _served_name(service) or "", draft.arguments)
    if draft.placement is not None and draft.placement.backend == RAY and not draft.placement.is_head:
        # Ray starts the ranks of this host itself.
        return []
    # The most important flags come first. The others are sorted, so that the unit changes only when an argument does.
    listens = {"host": service.host, "port": service.port} if draft.answers else {}
    fixed = {
        **listens,
        # A single name is not a list, so that units of earlier versions do not change.
        "served_model_name": service.served_model_names if len(service.served_model_names) > 1 else _served_name(service),
        "tensor_parallel_size": draft.arguments["tensor_parallel_size"],
    }
    # Only a node with an API needs the certificate, and vLLM refuses a number of API servers beside --headless.
    arguments = {**draft.arguments, **tls.arguments(draft)}
    of_apis = () if draft.answers else (*tls.ARGUMENTS, "api_server_count")
    others = {key: arguments[key] for key in sorted(arguments) if key not in fixed and key not in of_apis}
    return [f"{draft.release.path}/bin/vllm", "serve", weights_path, *args.to_argv({**fixed, **others})]


def _url(draft: ServiceDraft, host_address: str) -> str:
    """The URL of the service: with this address of its host, or with the one address on which the service listens."""
    address = host_address if draft.service.host in _LOOPBACK else draft.service.host
    scheme = "https" if tls.is_used(draft) else "http"
    return f"{scheme}://{bracketed(address)}:{draft.service.port}"
