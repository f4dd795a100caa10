# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's services with all inputs merged: the input of the checks and of the resolved plan."""

from __future__ import annotations

import math

from dataclasses import dataclass, field, replace
from typing import Any, Mapping

from ..artifacts import draft_models, repositories, transformers_engine
from ..artifacts.releases import Release, release_of, with_ray
from ..artifacts.weights import Weights, weights_of
from ..inputs import amd_gpus, service_files, uncatalogued
from ..inputs.catalogue import Catalogue, Entry
from ..inputs.disaggregation import KV_ROLES
from ..inputs.distributed import RAY, NodePlacement
from ..inputs.facts import Gpu, HostFacts, UnitFacts, orphaned
from ..inputs.services import Service
from ..inputs.settings import Settings
from ..inputs.settings.proxies import Proxy
from ..inputs.settings.sources import FILE, Source
from ..models import tasks
from ..models.memory import Drafter
from ..models.variants import Preset, Profile
from ..programs import library
from ..versions import Version
from ..vllm import arguments as args, environments, kv_transfer, lora
from ..vllm.engines import TRANSFORMERS, VLLM
from ..vllm.features import NAMES_OF_PACKAGES, Missing, Need, Pin, missing_packages, pinned
from ..vllm.flags import FlagTable, flag
from ..vllm.platforms import numbers
from ..vllm.rocm import Rocm, is_rocm_build
from ..vllm.tables import Tables
from ..vllm.transports import Transport

# Parallel sizes whose product is the number of GPUs of a data parallel rank. Ranks on other hosts are excluded, see local_data_parallel.
DATA = "data_parallel_size"
RANK_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size")


@dataclass(frozen=True)
class ServiceDraft:
    """A present service.

    - C(entry), C(weights): None when its model is unknown
    - C(profile), C(preset): None when the service names none, or an unknown one
    - C(offered): the catalogue's arguments: the entry's, overridden by the profile's and the preset's, where null removes one
    - C(given): C(offered) overridden by the user's arguments, without nulls
    - C(arguments): C(given) with the arguments that the plan sets, and directories instead of repositories
    - C(extras): the extra repositories in arguments
    - C(gpus): indexes of its GPUs on this host, None when unknown
    - C(placement): the nodes of a multi-node service and this host's rank among them
    - C(transport): the network between the nodes, where the user names one
    - C(spelt): the user's spelling of arguments that C(given) has under the flag's own name
    - C(drafter): the draft model, where it is a separate model
    - C(counterparts): with C(disaggregation) the hosts of the service with the other role (C(placement.disaggregation.Counterpart))
    - C(stage_gpus): the smallest GPU of each pipeline stage, where the nodes of a multi-node service have different GPUs
    - C(adapters): the directories of its LoRA adapters by name
    - C(adapters_restart): why a change of them restarts it; empty if it takes them in while it runs, or has none
    """

    service: Service
    entry: Entry | None
    profile: Profile | None
    preset: Preset | None
    version: Version
    release: Release
    weights: Weights | None
    gpus: tuple[int | str, ...] | None
    offered: dict[str, Any]
    given: dict[str, Any]
    arguments: dict[str, Any]
    environment: dict[str, str]
    cache: str
    shutdown_timeout: int
    placement: NodePlacement | None = None
    transport: Transport | None = None
    extras: tuple[repositories.Extra, ...] = ()
    spelt: Mapping[str, str] = field(default_factory=dict)
    drafter: Drafter | None = None
    stage_gpus: tuple[Gpu, ...] = ()
    counterparts: tuple[Any, ...] = ()
    adapters: Mapping[str, str] = field(default_factory=dict)
    adapters_restart: str = ""

    @property
    def all_weights(self) -> tuple[Weights, ...]:
        """The weights of the model and of extra repositories."""
        own = (self.weights,) if self.weights is not None else ()
        return (*own, *(extra.weights for extra in self.extras if extra.weights is not self.weights))

    def where(self, key: str) -> str:
        """The key of an argument for messages: in the user's spelling, or marked as the catalogue's."""
        written = self.spelt.get(key, key)
        if key == kv_transfer.KEY and self.service.disaggregation is not None:
            return "disaggregation"
        return f"vllm_args.{written}" if written in self.service.vllm_args else f"vllm_args.{key} (from the catalogue)"

    @property
    def label(self) -> str:
        return self.service.label

    @property
    def engine(self) -> str:
        return self.service.engine

    @property
    def task(self) -> str:
        """The task by which the service is verified. A catalogue entry with C(thinking) is a chat model."""
        known, thinks = (self.entry.task, bool(self.entry.thinking)) if self.entry is not None else ("", False)
        return tasks.task_of(self.service.task, self.engine, self.given, known, thinks)

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on CPUs only."""
        return self.release.cpu or (self.engine == TRANSFORMERS and self.arguments.get("device") == "cpu")

    @property
    def gpu_count(self) -> int:
        """Number of its GPUs on this host; 0 when unknown."""
        return len(set(self.gpus or ()))

    @property
    def is_distributed(self) -> bool:
        """Whether it is a multi-node service, even where its hosts are unknown."""
        return self.service.distributed is not None and self.engine == VLLM

    @property
    def answers(self) -> bool:
        """Whether its API is on this host: a multi-node service has it on the head only, unless each node has one."""
        return self.placement is None or self.placement.answers

    def with_placement(self, placement: NodePlacement, sizes: Mapping[str, int]) -> ServiceDraft:
        """The service on this node: with the arguments and the environment that differ by node, and the parallel C(sizes) that follow from all nodes."""
        environment = {**placement.environment(), **self.environment}
        arguments = {**self.arguments, **sizes, **placement.arguments()}
        return replace(self, placement=placement, arguments=arguments, environment=dict(sorted(environment.items())))

    def world_size(self) -> int | None:
        """GPUs that the parallel sizes need; None when one of them is not a positive integer."""
        sizes = [args.size(self.arguments, key) for key in RANK_SIZES]
        sizes.append(local_data_parallel(self.arguments))
        product = 1
        for size in sizes:
            if size is None:
                return None
            product *= size
        return product


@dataclass(frozen=True)
class HostDraft:
    """A host: C(gpus) from its facts, else as stated by the user, else None.

    C(weights_clients) are ports with the networks that may fetch weights there. C(proxy) is the proxy of the host. C(accepted) are the names of findings
    that the user accepts.
    """

    name: str
    address: str
    settings: Settings
    facts: HostFacts | None
    gpus: tuple[Gpu, ...] | None
    gpus_are_stated: bool
    services: tuple[ServiceDraft, ...]
    absent: tuple[Service, ...]
    catalogue: Catalogue
    tables: Tables
    weights_clients: tuple[tuple[int, str], ...] = ()
    proxy: Proxy = Proxy()
    accepted: frozenset[str] = frozenset()

    @property
    def flags(self) -> FlagTable:
        return self.tables.flags

    @property
    def is_amd(self) -> bool:
        """Whether its GPUs are AMD's, or some of them."""
        return are_amd(self.gpus)

    @property
    def orphaned_units(self) -> list[UnitFacts]:
        """Units of this collection on the host whose service is not in the inventory, neither present nor absent."""
        units = self.facts.units if self.facts is not None else ()
        return orphaned(units, [*(draft.service.name for draft in self.services), *(service.name for service in self.absent)])


def are_amd(gpus: tuple[Gpu, ...] | None) -> bool:
    """Whether any of these GPUs is AMD's."""
    return any(gpu.is_amd for gpu in gpus or ())


def over_hosts(given: Mapping[str, Any]) -> bool:
    """Whether these arguments of a multi-node service are for data parallel over its hosts."""
    return (args.size(given, DATA) or 1) > 1


def local_data_parallel(arguments: Mapping[str, Any]) -> int | None:
    """Data parallel ranks that run on this host."""
    key = "data_parallel_size_local" if "data_parallel_size_local" in arguments else DATA
    return args.size(arguments, key)


def draft_service(
    service: Service, settings: Settings, catalogue: Catalogue, tables: Tables, gpus: tuple[Gpu, ...] | None, answers: uncatalogued.Answers
) -> ServiceDraft:
    """Merge the inputs of a service: the catalogue entry, its profile and preset, and the user's settings, over the plan's own defaults."""
    entry = catalogue.find(service.model) if service.model else None
    if entry is not None:
        entry = uncatalogued.complete(entry, service, settings, answers, tables.transformers)
    if service.engine == TRANSFORMERS:
        return _draft_transformers(service, settings, entry, gpus, tables)
    flags = tables.flags
    own = _own_settings(service, settings)
    version = own.vllm_version
    used_gpus = _used_gpus(service, gpus, tables.platforms.rocm)
    profile = entry.profiles.get(service.profile) if entry and service.profile else None
    preset = entry.presets.get(service.preset) if entry and service.preset else None
    layers = [layer for layer in (entry, profile, preset) if layer is not None]
    offering = [layer.arguments_of(version) if isinstance(layer, Entry) else layer.arguments for layer in layers]
    offered = {key: value for arguments in offering for key, value in _one_spelling(arguments, tables, version)[0].items()}
    own_arguments, spelt = _one_spelling(service.vllm_args, tables, version)
    implied = {**({"enable_lora": True} if service.adapters is not None else {}), **({"load_format": "gguf"} if service.gguf_file else {})}
    merged = {**implied, **offered, **own_arguments}
    files = service_files.folder(settings.host_config_dir, service.name or "", service.files)
    given = {key: service_files.placed(value, service.files, files) for key, value in merged.items() if value is not None}
    given = kv_transfer.with_role(given, KV_ROLES.get((service.disaggregation.role or "") if service.disaggregation is not None else ""))

    computed = _parallel_sizes(service, given, used_gpus)
    named = service.task or (entry.task if entry is not None and entry.name != entry.repo else "")
    if named in tasks.POOLERS and not tasks.is_pooler(merged) and not {"runner", "task"} & merged.keys() and flags.has("flags", "--runner", version):
        # Many such models have the class of a generative model.
        computed["runner"] = "pooling"
    if flags.has("flags", "--shutdown-timeout", version) and "shutdown_timeout" not in merged:
        computed["shutdown_timeout"] = settings.model_service_shutdown_timeout
    completed = {**computed, **given}

    cache = f"{settings.host_cache_dir}/{service.name}"
    own = replace(own, vllm_requirements=(*own.vllm_requirements, *_pinned(given, entry, own, tables)))
    release = _release(own, version, gpus, tables)
    transport = tables.transports.get(service.distributed.transport or "") if service.distributed is not None else None
    environment = environments.overlay(
        _base_environment(service, settings, version, flags, cache, gpus, used_gpus),
        dict(transport.environment) if transport is not None else {},
        release.toolkit.environment(release.path),
        *(layer.environment for layer in layers),
        settings.model_service_environment,
        service_files.placed(service.environment, service.files, files),
    )
    weights = _weights(service, settings, entry)
    completed, adapters, extras = repositories.bring(completed, service, settings, weights, answers)
    restart = lora.why_restart(version, completed, environment, service.secret_names) if service.adapters is not None else ""
    if service.adapters is not None and not restart:
        completed, environment = _with_adapters_file(completed, environment, service, settings)
    elif adapters:
        completed["lora_modules"] = [*lora.modules(completed), *({"name": name, "path": path} for name, path in adapters.items())]
    return ServiceDraft(
        service=service,
        entry=entry,
        profile=profile,
        preset=preset,
        version=version,
        release=release,
        weights=weights,
        extras=extras,
        drafter=draft_models.drafter_of(given, extras, weights, settings, catalogue, answers, tables.transformers),
        gpus=used_gpus,
        offered=offered,
        given=given,
        arguments=completed,
        environment=environment,
        cache=cache,
        # 0 is vLLM's default; vLLM's parser refuses a value that is not a number.
        shutdown_timeout=args.number(completed, "shutdown_timeout") or 0,
        transport=transport,
        spelt=spelt,
        adapters=adapters,
        adapters_restart=restart,
    )


def adapters_file(config_dir: str, service: str) -> str:
    """The file with the adapters of a running service, which root alone writes."""
    return f"{config_dir}/adapters/{service}.json"


def _with_adapters_file(
    arguments: Mapping[str, Any], environment: Mapping[str, str], service: Service, settings: Settings,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Arguments and environment of an engine that follows the file with its adapters. They do not change with the adapters."""
    paths = [library(settings.host_install_dir), *([environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else [])]
    file = adapters_file(settings.host_config_dir, str(service.name))
    found = {**environment, "PYTHONPATH": ":".join(paths), lora.VARIABLE: file}
    return {**arguments, "middleware": [lora.MIDDLEWARE]}, dict(sorted(found.items()))


def _one_spelling(arguments: Mapping[str, Any], tables: Tables, version: Version) -> tuple[dict[str, Any], dict[str, str]]:
    """Arguments under the name of each flag, and the user's spelling where it differs.

    An inverse spelling (disable_x: true) becomes false of the flag. Where a flag is set twice, which is an error, the last one is used.
    """
    found: dict[str, Any] = {}
    spelt = {}
    for key, value in arguments.items():
        name, opposite = tables.types.spelling(key, version)
        if not tables.flags.has("flags", flag(key.partition(".")[0]), version) or (opposite and value not in (True, None)):
            name, opposite = key, False
        found[name] = False if opposite and value is True else value
        if name != key:
            spelt[name] = key
    return found, spelt


def _draft_transformers(service: Service, settings: Settings, entry: Entry | None, gpus: tuple[Gpu, ...] | None, tables: Tables) -> ServiceDraft:
    """A service on Transformers. It uses only the weights of the catalogue entry, since the arguments and variables there are for vLLM."""
    version = transformers_engine.version_of(service, settings)
    cache = f"{settings.host_cache_dir}/{service.name}"
    files = service_files.folder(settings.host_config_dir, service.name or "", service.files)
    used_gpus = _used_gpus(service, gpus, tables.platforms.rocm)
    return ServiceDraft(
        service=service,
        entry=entry,
        profile=None,
        preset=None,
        version=version,
        release=transformers_engine.release_of(settings, version),
        weights=_weights(service, settings, entry),
        gpus=used_gpus,
        offered={},
        given={},
        arguments={key: service_files.placed(value, service.files, files) for key, value in service.transformers_args.items() if value is not None},
        environment=environments.overlay(
            {**transformers_engine.environment(cache), **_visible_gpus(service, gpus, used_gpus, are_amd(gpus))},
            settings.model_service_environment,
            service_files.placed(service.environment, service.files, files),
        ),
        cache=cache,
        shutdown_timeout=0,
    )


def _used_gpus(service: Service, gpus: tuple[Gpu, ...] | None, table: Rocm) -> tuple[int | str, ...] | None:
    """The GPUs that a service names, else all GPUs of the host that MIG does not split, without graphics units beside other AMD GPUs."""
    if service.gpus is not None:
        return service.gpus
    return tuple(gpu.index for gpu in amd_gpus.usable(gpus, table) if gpu.parent is None and not gpu.split) if gpus is not None else None


def _weights(service: Service, settings: Settings, entry: Entry | None) -> Weights | None:
    if entry is None:
        return None
    same_revision = service.revision in (None, entry.revision)
    # Another revision may have another size, and so may one file, so it is unknown.
    known = same_revision and (not service.gguf_file or entry.name == entry.repo)
    return weights_of(settings, entry.repo, service.revision or entry.revision, entry.bytes if known else None, entry.exclude, service)


def _release(settings: Settings, version: Version, gpus: tuple[Gpu, ...] | None, tables: Tables) -> Release:
    """The release of a version, tested for the host's GPUs unless the user names architectures. Its CUDA version is known only for builds from indexes."""
    platforms = tables.platforms
    if not settings.cuda_architectures:
        found = {gpu.compute_capability for gpu in gpus or () if numbers(gpu.compute_capability)}
        settings = replace(settings, cuda_architectures=tuple(sorted(found, key=numbers)))
    if settings.vllm_source == Source():
        return release_of(settings, version, platforms.cuda(version, settings.vllm_torch_backend))
    return release_of(settings, version, platforms.named_cuda(version, settings.vllm_torch_backend))


def _pinned(given: Mapping[str, Any], entry: Entry | None, settings: Settings, tables: Tables) -> tuple[str, ...]:
    """Packages for the features of a service, in versions that the plan knows. A custom wheel may depend on any package itself."""
    if settings.vllm_source.kind == FILE:
        return ()
    version = settings.vllm_version
    pins = {**tables.packages, "ray": Pin(settings.multi_node_ray_version.text)}
    return pinned(missing_of(given, entry, settings.vllm_requirements, version, tables), pins, version)


def missing_of(given: Mapping[str, Any], entry: Entry | None, requirements: tuple[str, ...], version: Version, tables: Tables) -> list[Missing]:
    """Packages that the arguments and the model need, and the requirements lack."""

    def is_known(need: Need) -> bool:
        takes = tables.types.of(need.key, version)
        # A plugin registers its names only when it is installed.
        named = [name for brings in NAMES_OF_PACKAGES.values() for name in brings.get(need.key, ())]
        return takes is None or not takes.names or given.get(need.key) in (*takes.names, *named)

    return missing_packages(given, entry.architecture.class_name if entry is not None else "", requirements, version, is_known)


def _own_settings(service: Service, settings: Settings) -> Settings:
    """The host's settings with the service's settings for its release. A service that sets only a version uses the package indexes."""
    source = service.vllm_source
    if source is None:
        source = Source() if service.vllm_version else settings.vllm_source
    own: dict[str, Any] = {"vllm_version": service.vllm_version or settings.vllm_version, "vllm_source": source}
    if service.vllm_requirements is not None:
        own["vllm_requirements"] = service.vllm_requirements
    if service.distributed is not None and service.distributed.backend == RAY:
        own["vllm_requirements"] = with_ray(own.get("vllm_requirements", settings.vllm_requirements), settings.multi_node_ray_version.text)
    return replace(settings, **own)


def _parallel_sizes(service: Service, given: Mapping[str, Any], gpus: tuple[int | str, ...] | None) -> dict[str, Any]:
    """The parallel sizes that the user does not set, and the executor backend.

    On one host tensor parallel uses the GPUs that the other sizes leave. On several hosts it stays within a host and each host is a pipeline stage,
    unless the user sets one of the two, and the other follows from the number of GPUs. With data parallel over hosts each host has whole ranks, and tensor
    parallel uses the GPUs that their number leaves.
    """
    each = len(set(gpus or ()))
    if service.distributed is None:
        return {"tensor_parallel_size": max(1, each // _product(given, *RANK_SIZES[1:]))}
    hosts = service.distributed.nodes or 1
    if over_hosts(given):
        ranks = max(1, (args.size(given, DATA) or 1) // hosts)
        gpus_of_others = ranks * math.prod(args.size(given, key) or 1 for key in RANK_SIZES[1:])
        return {"tensor_parallel_size": max(1, each // gpus_of_others), "distributed_executor_backend": service.distributed.backend}
    inner = max(1, each // _product(given, "prefill_context_parallel_size"))
    tensor, pipeline = inner, hosts
    if "pipeline_parallel_size" in given:
        stages = _product(given, "pipeline_parallel_size")
        even = (inner * hosts) // stages
        tensor = even if even * stages == inner * hosts and inner % even == 0 else inner
    elif "tensor_parallel_size" in given:
        ranks = args.size(given, "tensor_parallel_size") or 1
        pipeline = (inner * hosts) // ranks if gpus and (inner * hosts) % ranks == 0 else hosts
    return {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline, "distributed_executor_backend": service.distributed.backend}


def _product(given: Mapping[str, Any], *keys: str) -> int:
    """The product of these parallel sizes and the number of data parallel ranks on this host."""
    product = local_data_parallel(given) or 1
    for key in keys:
        product *= args.size(given, key) or 1
    return product


def _base_environment(
    service: Service, settings: Settings, version: Version, flags: FlagTable, cache: str, gpus: tuple[Gpu, ...] | None, used: tuple[int | str, ...] | None,
) -> dict[str, str | None]:
    """The environment of every service: no network for models, no usage reports, and all caches under one writable directory."""
    start = settings.model_service_start_timeout
    environment: dict[str, str | None] = {
        "HOME": cache,
        "HF_HOME": f"{cache}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": f"{cache}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torchinductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "FLASHINFER_WORKSPACE_BASE": cache,
    }
    environment.update(_visible_gpus(service, gpus, used, are_amd(gpus) or (not gpus and is_rocm_build(version))))
    if flags.has("environment", "VLLM_ENGINE_READY_TIMEOUT_S", version):
        # Less than the unit's start timeout, so that vLLM reports what it waited for before systemd kills it.
        environment["VLLM_ENGINE_READY_TIMEOUT_S"] = str(max(start - 60, start // 2, 1))
    return environment


def _visible_gpus(service: Service, gpus: tuple[Gpu, ...] | None, used: tuple[int | str, ...] | None, amd: bool) -> dict[str, str | None]:
    """The variables for GPUs that a service names, or of AMD for those that remain where some are left out: HIP would give it these too."""
    if service.gpus is not None:
        return {**visible(service.gpus, amd)}
    return {**visible(used, amd)} if amd and used and gpus is not None and len(used) < len(gpus) else {}


def visible(indexes: tuple[int | str, ...], amd: bool) -> dict[str, str]:
    """The variables that give a program these GPUs and no others."""
    named = ",".join(str(index) for index in indexes)
    if amd:
        # vLLM itself copies this to CUDA_VISIBLE_DEVICES, and refuses another value there (platforms/rocm.py).
        return {"HIP_VISIBLE_DEVICES": named}
    # By default CUDA numbers GPUs by speed. This selects the order of nvidia-smi, from which the user has the numbers.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": named}
