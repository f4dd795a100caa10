# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' settings that the plan reads: defaults of the roles with a host's inventory variables over them."""

from __future__ import annotations

import re

from dataclasses import dataclass, fields
from typing import Any, Mapping

from ... import values
from ...errors import Bad, PlanError, did_you_mean, is_secret_name, shown
from ...versions import Version
from ...vllm import environments
from . import accounts, cuda as cuda_settings, interpreters, kernel, networks, proxies, sharing, sources

_SECONDS = values.whole(1, 7 * 24 * 3600)
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*")
# One version and no wildcard, or a file.
_PIN = re.compile(r"===?\s*[A-Za-z0-9.+!_-]+\s*(?:;.*)?$|@\s*(?:https?://|file:///|/)\S+\.(?:whl|tar\.gz|zip)(?:#\S+)?\s*(?:;.*)?$")
# A connection takes some 300 bytes: the most is 40 GB of them.
_CONNECTIONS = values.whole(1024, 2**27)
_PORT = values.whole(1024, 65535)
# The programs that download (roles/weights/files/fetch_weights/tools.py).
TOOLS = ("curl", "hf")


@dataclass(frozen=True)
class Settings:
    """Named as the roles' variables are. Times are in seconds, the reserve is in bytes."""

    host_user: str
    host_group: str
    host_home: str
    host_config_dir: str
    host_state_dir: str
    host_cache_dir: str
    host_install_dir: str
    host_index_url: str
    host_extra_index_urls: tuple[str, ...]
    host_find_links: tuple[str, ...]
    host_http_proxy: str
    host_https_proxy: str
    host_no_proxy: tuple[str, ...]
    host_proxy_username: str
    vllm_version: Version
    vllm_source: sources.Source
    vllm_build_environment: dict[str, str]
    vllm_requirements: tuple[str, ...]
    vllm_overrides: tuple[str, ...]
    vllm_transformers_version: Version
    vllm_transformers_requirements: tuple[str, ...]
    vllm_python: str
    vllm_python_mirror: str
    vllm_torch_backend: str
    vllm_releases_dir: str
    vllm_uv_cache_dir: str
    vllm_index_url: str
    vllm_extra_index_urls: tuple[str, ...]
    vllm_find_links: tuple[str, ...]
    vllm_no_index: bool
    vllm_keep_releases: int
    cuda_source: str
    cuda_system_path: str
    cuda_architectures: tuple[str, ...]
    cuda_apt_repository: str
    cuda_driver_install: bool
    cuda_driver_branch: str
    cuda_fabric_manager: bool
    cuda_reboot: bool
    weights_dir: str
    weights_endpoints: tuple[str, ...]
    weights_include: tuple[str, ...]
    weights_exclude: tuple[str, ...]
    weights_token_endpoints: tuple[str, ...]
    weights_tool: str
    weights_max_workers: int
    weights_min_rate: int
    weights_rate_seconds: int
    weights_stall_timeout: int
    weights_timeout: int
    weights_disk_reserve: int
    weights_offline: bool
    weights_share: str
    weights_share_port: int
    weights_share_interface: str
    weights_mirror_host: str
    weights_mirror_user: str
    weights_mirror_port: int
    weights_mirror_address: str
    plan_check_disk: bool
    plan_lookup: bool
    verify_certificates: bool
    model_service_account_prefix: str
    model_service_start_timeout: int
    model_service_stop_timeout: int
    model_service_shutdown_timeout: int
    model_service_restart: bool
    model_service_environment: dict[str, str | None]
    multi_node_ray_version: Version
    multi_node_ray_temp_dir: str
    multi_node_ray_object_store_memory: int
    multi_node_ray_dashboard: bool
    multi_node_join_timeout: int
    multi_node_heartbeat_timeout: int
    multi_node_probe_interval: int
    multi_node_probe_timeout: int
    multi_node_liveness_timeout: int
    firewall_enabled: bool
    firewall_api_sources: tuple[str, ...]
    firewall_ssh_sources: tuple[str, ...]
    firewall_open_ports: tuple[networks.OpenPort, ...]
    firewall_logging: str
    firewall_rollback_timeout: int
    kernel_enabled: bool
    kernel_conntrack_max: int
    kernel_conntrack_buckets: int | None
    kernel_transparent_hugepages: str | None
    kernel_swappiness: int | None
    kernel_socket_buffer_max: int | None
    kernel_cpu_governor: str | None
    kernel_memlock_users: tuple[str, ...]
    kernel_sysctl: dict[str, str | None]


def _endpoints(value: Any) -> tuple[str, ...]:
    read = values.texts(value)
    if not read or any(not url.startswith(("http://", "https://")) for url in read):
        raise Bad("each endpoint is an http or https address, and there is at least one", "write a list like [https://huggingface.co]")
    return tuple(url.rstrip("/") for url in read)


def _token_endpoints(value: Any) -> tuple[str, ...]:
    """Endpoints too, but there may be none."""
    return _endpoints(value) if value != [] else ()


def _tool(value: Any) -> str:
    read = values.text(value)
    if read not in TOOLS:
        raise Bad("there is no such way to download", did_you_mean(read, TOOLS, f"write {' or '.join(TOOLS)}"))
    return read


def _address(value: Any) -> str:
    """An address to reach a host at, or empty."""
    read = values.text(value)
    return values.bind_address(read) if read else read


def requirements(value: Any) -> tuple[str, ...]:
    """Requirements beside the engine, each pinned: what floats is another release on another day under the same name."""
    read = tuple(requirement.strip() for requirement in values.texts(value))
    for requirement in read:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise Bad(f"{shown(requirement)} is not a requirement", "write <package>==<version>")
        if match["name"].lower() == "vllm":
            raise Bad("vllm itself stands among the further requirements", "say which vLLM with vllm_version or vllm_source")
        if not _PIN.match(requirement, match.end()):
            raise Bad(f"{shown(requirement)} is not pinned", f"write {match['name']}==<version>, so that every host gets the same on every day")
    return read


def _build_environment(value: Any) -> dict[str, str]:
    read = values.mapping(value)
    for name in read:
        if not values.is_variable_name(name):
            raise Bad(f"{shown(name)} is not a name for an environment variable", "use letters, digits and _")
        if name.startswith("UV_"):
            raise Bad(f"{name} is set by the build", "say it with the role's variables: vllm_index_url, vllm_find_links, vllm_torch_backend, …")
        if is_secret_name(name):
            raise Bad(f"by its name {name} is a secret, and it would be kept in the release's record", "leave it out")
    return {name: values.environment_value(item) for name, item in sorted(read.items())}


_READERS: dict[str, values.Reader] = {
    "host_user": values.account,
    "host_group": values.account,
    "host_home": values.path,
    "host_config_dir": values.path,
    "host_state_dir": values.path,
    "host_cache_dir": values.path,
    "host_install_dir": values.path,
    "host_index_url": values.text,
    "host_extra_index_urls": values.texts,
    "host_find_links": values.texts,
    "host_http_proxy": proxies.address,
    "host_https_proxy": proxies.address,
    "host_no_proxy": proxies.no_proxy,
    "host_proxy_username": proxies.username,
    "vllm_version": values.version,
    "vllm_source": sources.read,
    "vllm_build_environment": _build_environment,
    "vllm_requirements": requirements,
    "vllm_overrides": values.texts,
    "vllm_transformers_version": values.version,
    "vllm_transformers_requirements": requirements,
    "vllm_python": interpreters.read,
    "vllm_python_mirror": interpreters.mirror,
    "vllm_torch_backend": values.text,
    "vllm_releases_dir": values.path,
    "vllm_uv_cache_dir": values.path,
    "vllm_index_url": values.text,
    "vllm_extra_index_urls": values.texts,
    "vllm_find_links": values.texts,
    "vllm_no_index": values.switch,
    "vllm_keep_releases": values.whole(0, 1000),
    "cuda_source": cuda_settings.source,
    "cuda_system_path": cuda_settings.path,
    "cuda_architectures": cuda_settings.architectures,
    "cuda_apt_repository": values.text,
    "cuda_driver_install": values.switch,
    "cuda_driver_branch": cuda_settings.branch,
    "cuda_fabric_manager": values.switch,
    "cuda_reboot": values.switch,
    "weights_dir": values.path,
    "weights_endpoints": _endpoints,
    "weights_include": values.texts,
    "weights_exclude": values.texts,
    "weights_token_endpoints": _token_endpoints,
    "weights_tool": _tool,
    "weights_max_workers": values.whole(1, 64),
    "weights_min_rate": values.whole(0, 10**12),
    "weights_rate_seconds": values.whole(1, 3600),
    "weights_stall_timeout": _SECONDS,
    "weights_timeout": _SECONDS,
    "weights_disk_reserve": values.whole(0, 10**18),
    "weights_offline": values.switch,
    "weights_share": sharing.mode,
    "weights_share_port": _PORT,
    "weights_share_interface": sharing.interface,
    "weights_mirror_host": values.text,
    "weights_mirror_user": values.account,
    "weights_mirror_port": _PORT,
    "weights_mirror_address": _address,
    "plan_check_disk": values.switch,
    "plan_lookup": values.switch,
    "verify_certificates": values.switch,
    "model_service_account_prefix": accounts.prefix,
    "model_service_start_timeout": _SECONDS,
    "model_service_stop_timeout": _SECONDS,
    "model_service_shutdown_timeout": values.whole(0, 24 * 3600),
    "model_service_restart": values.switch,
    "multi_node_ray_version": values.version,
    "multi_node_ray_temp_dir": values.path,
    # Ray itself refuses less than 75 MiB.
    "multi_node_ray_object_store_memory": values.whole(80 * 2**20, 2**44),
    "multi_node_ray_dashboard": values.switch,
    "multi_node_join_timeout": _SECONDS,
    "multi_node_heartbeat_timeout": values.whole(5, 3600),
    "multi_node_probe_interval": _SECONDS,
    "multi_node_probe_timeout": _SECONDS,
    "multi_node_liveness_timeout": _SECONDS,
    "firewall_enabled": values.switch,
    "firewall_api_sources": networks.sources,
    "firewall_ssh_sources": networks.sources,
    "firewall_open_ports": networks.open_ports,
    "firewall_logging": networks.logging,
    "firewall_rollback_timeout": values.whole(20, 600),
    "kernel_enabled": values.switch,
    "kernel_conntrack_max": _CONNECTIONS,
    "kernel_conntrack_buckets": values.optional(_CONNECTIONS),
    "kernel_transparent_hugepages": values.optional(kernel.hugepages),
    "kernel_swappiness": values.optional(values.whole(0, 200)),
    "kernel_socket_buffer_max": values.optional(values.whole(2**20, 2**31 - 1)),
    "kernel_cpu_governor": values.optional(kernel.governor),
    "kernel_memlock_users": kernel.memlock_users,
}

NAMES: tuple[str, ...] = tuple(field.name for field in fields(Settings))


class MissingDefault(LookupError):
    """A setting without a default in any role: an error of this collection, not of the inventory."""


def read(host: str, defaults: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[Settings, list[PlanError]]:
    """The settings of a host. A value that cannot be used is an error, and the default stands in so that the other checks can go on.

    :raises MissingDefault: when the defaults lack a setting or hold an unusable one
    """
    errors: list[PlanError] = []
    found: dict[str, Any] = {}
    for name in NAMES:
        if name not in defaults:
            raise MissingDefault(f"no role has a default for {name}")
        if name == "model_service_environment":
            found[name], bad = environments.read(host, "", name, variables.get(name, defaults[name]))
            errors += bad
            continue
        if name == kernel.SYSCTL:
            found[name], bad = kernel.read_sysctl(host, variables.get(name, defaults[name]))
            errors += bad
            continue
        try:
            found[name] = _READERS[name](variables.get(name, defaults[name]))
        except Bad as bad_value:
            if name not in variables:
                raise MissingDefault(f"the default of {name} cannot be used: {bad_value.why}") from bad_value
            errors.append(PlanError(host, "", name, shown(variables[name], name), bad_value.why, bad_value.fix))
            found[name] = _READERS[name](defaults[name])
    return Settings(**found), errors
