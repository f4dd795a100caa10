# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' settings that the plan reads: defaults of the roles with a host's inventory variables over them."""

from __future__ import annotations

import functools
import re

from dataclasses import dataclass, field, fields
from typing import Any, Callable, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils import _endpoint_kinds

from ... import values
from ...errors import InvalidValue, PlanError, is_secret_name, shown
from ...versions import Version
from ...vllm import environments
from . import accounts, cuda as cuda_settings, interpreters, kernel, monitoring, networks, proxies, rollout, sharing, sources

_SECONDS = values.integer(1, 7 * 24 * 3600)
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*")
# One version and no wildcard, or a file.
_PIN = re.compile(r"===?\s*[A-Za-z0-9.+!_-]+\s*(?:;.*)?$|@\s*(?:https?://|file:///|/)\S+\.(?:whl|tar\.gz|zip)(?:#\S+)?\s*(?:;.*)?$")
# A connection takes about 300 bytes, so the upper limit is 40 GB.
_CONNECTIONS = values.integer(1024, 2**27)
_PORT = values.integer(1024, 65535)


def _endpoints(value: Any) -> tuple[str, ...]:
    read = values.strings(value)
    if not read or any(not url.removeprefix(_endpoint_kinds.PREFIX).startswith(("http://", "https://")) for url in read):
        raise InvalidValue(
            "this is not a list of one or more http or https addresses",
            "write a list like [https://huggingface.co]; a ModelScope server is written modelscope+https://modelscope.cn",
        )
    return tuple(url.rstrip("/") for url in read)


def _token_endpoints(value: Any) -> tuple[str, ...]:
    """A list of endpoints, which may be empty."""
    return _endpoints(value) if value != [] else ()


def _address(value: Any) -> str:
    """The address of a host, or empty."""
    read = values.string(value)
    return values.bind_address(read) if read else read


def requirements(value: Any) -> tuple[str, ...]:
    """Requirements in addition to the engine, each pinned: otherwise a release could have the same name and different packages on another day."""
    read = tuple(requirement.strip() for requirement in values.strings(value))
    for requirement in read:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise InvalidValue(f"{shown(requirement)} is not a requirement", "write <package>==<version>")
        if match["name"].lower() == "vllm":
            raise InvalidValue("vllm is the engine, not a further requirement", "remove it, and set vllm_version or vllm_source")
        if not _PIN.match(requirement, match.end()):
            raise InvalidValue(f"{shown(requirement)} is not pinned", f"write {match['name']}==<version>, so that every host gets the same package")
    return read


def _build_environment(value: Any) -> dict[str, str]:
    read = values.mapping(value)
    for name in read:
        if not values.is_variable_name(name):
            raise InvalidValue(f"{shown(name)} is not a valid name of an environment variable", "use letters, digits and _")
        if name.startswith("UV_"):
            raise InvalidValue(f"the build sets {name}", "use the role's variables instead: vllm_index_url, vllm_find_links, vllm_torch_backend, …")
        if is_secret_name(name):
            raise InvalidValue(f"by its name {name} is a secret, and all users can read it in the release's record", "remove it")
    return {name: values.environment_value(item) for name, item in sorted(read.items())}


# Readers of settings that accept any value of their type.
_BY_TYPE: dict[str, values.Reader] = {"str": values.string, "bool": values.boolean, "tuple[str, ...]": values.strings, "Version": values.version}


def setting(reader: values.Reader) -> Any:
    """A setting that accepts only some values of its type."""
    # pylint: disable-next=invalid-field-call  # for the fields of Settings
    return field(metadata={"reader": reader})


@dataclass(frozen=True)
class Settings:
    """The settings, with the names of the roles' variables. Times are in seconds, the reserve is in bytes."""

    host_user: str = setting(values.account)
    host_group: str = setting(values.account)
    host_home: str = setting(values.path)
    host_config_dir: str = setting(values.path)
    host_state_dir: str = setting(values.path)
    host_cache_dir: str = setting(values.path)
    host_install_dir: str = setting(values.path)
    host_index_url: str
    host_extra_index_urls: tuple[str, ...]
    host_find_links: tuple[str, ...]
    host_http_proxy: str = setting(proxies.address)
    host_https_proxy: str = setting(proxies.address)
    host_no_proxy: tuple[str, ...] = setting(proxies.no_proxy)
    host_proxy_username: str = setting(proxies.username)
    vllm_version: Version
    vllm_source: sources.Source = setting(sources.read)
    vllm_build_environment: dict[str, str] = setting(_build_environment)
    vllm_requirements: tuple[str, ...] = setting(requirements)
    vllm_overrides: tuple[str, ...]
    vllm_transformers_version: Version
    vllm_transformers_requirements: tuple[str, ...] = setting(requirements)
    vllm_python: str = setting(interpreters.read)
    vllm_python_mirror: str = setting(interpreters.mirror)
    vllm_torch_backend: str
    vllm_releases_dir: str = setting(values.path)
    vllm_uv_cache_dir: str = setting(values.path)
    vllm_index_url: str
    vllm_extra_index_urls: tuple[str, ...]
    vllm_find_links: tuple[str, ...]
    vllm_no_index: bool
    vllm_keep_releases: int = setting(values.integer(0, 1000))
    cuda_source: str = setting(cuda_settings.source)
    cuda_system_path: str = setting(cuda_settings.path)
    cuda_architectures: tuple[str, ...] = setting(cuda_settings.architectures)
    cuda_apt_repository: str
    cuda_driver_install: bool
    cuda_driver_branch: str = setting(cuda_settings.branch)
    cuda_fabric_manager: bool
    cuda_reboot: bool
    weights_dir: str = setting(values.path)
    weights_endpoints: tuple[str, ...] = setting(_endpoints)
    weights_include: tuple[str, ...]
    weights_exclude: tuple[str, ...]
    weights_token_endpoints: tuple[str, ...] = setting(_token_endpoints)
    weights_max_workers: int = setting(values.integer(1, 64))
    weights_min_rate: int = setting(values.integer(0, 10**12))
    weights_rate_seconds: int = setting(values.integer(1, 3600))
    weights_stall_timeout: int = setting(_SECONDS)
    weights_timeout: int = setting(_SECONDS)
    weights_disk_reserve: int = setting(values.integer(0, 10**18))
    weights_offline: bool
    weights_share: str = setting(sharing.mode)
    weights_share_port: int = setting(_PORT)
    weights_share_interface: str = setting(sharing.interface)
    weights_share_stall_timeout: int = setting(_SECONDS)
    weights_mirror_host: str
    weights_mirror_user: str = setting(values.account)
    weights_mirror_port: int = setting(_PORT)
    weights_mirror_address: str = setting(_address)
    monitoring_state: str = setting(monitoring.state)
    monitoring_host: str
    monitoring_address: str = setting(monitoring.target_address)
    monitoring_cluster: str = setting(monitoring.cluster)
    monitoring_target_address: str = setting(monitoring.target_address)
    monitoring_node_exporter: bool
    monitoring_probe: bool
    monitoring_node_exporter_port: int = setting(monitoring.PORT)
    monitoring_dcgm_exporter_port: int = setting(monitoring.OPTIONAL_PORT)
    monitoring_scrape_interval: int = setting(monitoring.SCRAPE_SECONDS)
    monitoring_collector_interval: int = setting(monitoring.COLLECTOR_SECONDS)
    monitoring_prometheus_port: int = setting(monitoring.PORT)
    monitoring_alertmanager_port: int = setting(monitoring.PORT)
    monitoring_blackbox_port: int = setting(monitoring.PORT)
    monitoring_files_dir: str
    monitoring_ui_sources: tuple[str, ...] = setting(networks.sources)
    plan_check_disk: bool
    plan_lookup: bool
    verify_certificates: bool
    model_service_account_prefix: str = setting(accounts.prefix)
    model_service_start_timeout: int = setting(_SECONDS)
    model_service_stop_timeout: int = setting(_SECONDS)
    model_service_shutdown_timeout: int = setting(values.integer(0, 24 * 3600))
    model_service_probe_interval: int = setting(_SECONDS)
    model_service_probe_timeout: int = setting(_SECONDS)
    model_service_liveness_timeout: int = setting(_SECONDS)
    model_service_restart: bool
    model_service_max_unavailable: str = setting(rollout.max_unavailable)
    model_service_update_strategy: str = setting(rollout.update_strategy)
    model_service_min_ready_seconds: int = setting(values.integer(0, 3600))
    model_service_environment: dict[str, str | None]
    multi_node_ray_version: Version
    multi_node_ray_temp_dir: str = setting(values.path)
    # Ray itself refuses less than 75 MiB.
    multi_node_ray_object_store_memory: int = setting(values.integer(80 * 2**20, 2**44))
    multi_node_ray_dashboard: bool
    multi_node_join_timeout: int = setting(_SECONDS)
    multi_node_heartbeat_timeout: int = setting(values.integer(5, 3600))
    firewall_enabled: bool
    firewall_api_sources: tuple[str, ...] = setting(networks.sources)
    firewall_ssh_sources: tuple[str, ...] = setting(networks.sources)
    firewall_open_ports: tuple[networks.OpenPort, ...] = setting(networks.open_ports)
    firewall_logging: str = setting(networks.logging)
    firewall_rollback_timeout: int = setting(values.integer(20, 600))
    kernel_enabled: bool
    kernel_conntrack_max: int = setting(_CONNECTIONS)
    kernel_conntrack_buckets: int | None = setting(values.optional(_CONNECTIONS))
    kernel_transparent_hugepages: str | None = setting(values.optional(kernel.hugepages))
    kernel_swappiness: int | None = setting(values.optional(values.integer(0, 200)))
    kernel_socket_buffer_max: int | None = setting(values.optional(values.integer(2**20, 2**31 - 1)))
    kernel_cpu_governor: str | None = setting(values.optional(kernel.governor))
    kernel_memlock_users: tuple[str, ...] = setting(kernel.memlock_users)
    kernel_sysctl_defaults: dict[str, str | None]
    kernel_sysctl: dict[str, str | None]


# Dictionaries, read item by item, so that each invalid item is a separate error.
_BY_ITEM: dict[str, Callable[[str, Any], tuple[Any, list[PlanError]]]] = {
    "model_service_environment": lambda host, value: environments.read(host, "", "model_service_environment", value),
    **{name: functools.partial(kernel.read_sysctl, name) for name in kernel.VARIABLES},
}
_READERS: dict[str, values.Reader] = {
    each.name: each.metadata.get("reader") or _BY_TYPE[str(each.type)] for each in fields(Settings) if each.name not in _BY_ITEM
}
NAMES: tuple[str, ...] = tuple(each.name for each in fields(Settings))


class MissingDefault(LookupError):
    """A setting without a valid default in any role, which is a bug of this collection."""


def read(host: str, defaults: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[Settings, list[PlanError]]:
    """The settings of a host. An invalid value is an error, and is replaced by the default, so that the other checks can run.

    :raises MissingDefault: when a default is missing or invalid
    """
    errors: list[PlanError] = []
    found: dict[str, Any] = {}
    for name in NAMES:
        if name not in defaults:
            raise MissingDefault(f"no role has a default for {name}")
        if name in _BY_ITEM:
            found[name], bad = _BY_ITEM[name](host, variables.get(name, defaults[name]))
            errors += bad
            continue
        try:
            found[name] = _READERS[name](variables.get(name, defaults[name]))
        except InvalidValue as bad_value:
            if name not in variables:
                raise MissingDefault(f"the default of {name} is invalid: {bad_value.why}") from bad_value
            errors.append(PlanError(host, "", name, shown(variables[name], name), bad_value.why, bad_value.fix))
            found[name] = _READERS[name](defaults[name])
    return Settings(**found), errors
