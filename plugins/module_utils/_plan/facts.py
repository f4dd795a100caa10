# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a host: facts that the C(host_facts) module read, taken leniently, or what the user states of its GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from . import kernel, values
from .faults import Bad, Fault, kind, shown


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in bytes, 0 when unknown."""

    index: int
    name: str = ""
    memory_bytes: int = 0
    compute_capability: str = ""
    driver_version: str = ""


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; C(unit) is the systemd unit of its process or empty."""

    port: int
    address: str
    pid: int
    unit: str


@dataclass(frozen=True)
class Mount:
    """A mounted file system; C(free_bytes) is what a user who is not root may still write, C(size_bytes) all of it, 0 where nobody knows."""

    mount: str
    free_bytes: int
    size_bytes: int = 0


@dataclass(frozen=True)
class FirewallFacts:
    """C(ssh_ports) are those on which SSH comes in, C(client) the address that the controller comes from (empty where not by SSH), C(others) the
    other managers of the firewall, C(published) the ports of containers that are open beyond loopback, C(returned) when a change was taken back."""

    ssh_ports: tuple[int, ...] = ()
    client: str = ""
    others: tuple[str, ...] = ()
    published: tuple[int, ...] = ()
    returned: str = ""


@dataclass(frozen=True)
class HostFacts:
    """Facts of one host. C(gpu_fault) is what nvidia-smi said when it failed, C(weights) the paths of complete weights,
    C(verified) those of weights that others brought and that are as they were when they were verified, C(mount_points) all places where
    something is mounted, whatever it is,
    C(partial_weights) the bytes of a begun download by the path that it will have, C(interfaces) the IPv4 addresses of each network interface
    that has any, C(default_ipv4) the address that goes out to the world, C(kernel) is None when nothing is known of its settings,
    C(firewall) is empty then. C(nvswitches) is how many NVSwitches the host has, C(fabric_manager) its version, empty when it is not installed.
    C(hostname) is what the host calls itself."""

    gpus: tuple[Gpu, ...]
    gpu_fault: str
    listeners: tuple[Listener, ...]
    mounts: tuple[Mount, ...]
    weights: frozenset[str]
    verified: frozenset[str]
    mount_points: frozenset[str]
    partial_weights: dict[str, int]
    interfaces: dict[str, tuple[str, ...]]
    default_ipv4: str
    kernel: kernel.KernelFacts | None
    firewall: FirewallFacts
    nvswitches: int
    fabric_manager: str
    hostname: str

    def mount_of(self, path: str) -> Mount | None:
        """The file system that a path lies, or will lie, on."""
        holding = [found for found in self.mounts if found.mount == "/" or path == found.mount or path.startswith(found.mount.rstrip("/") + "/")]
        return max(holding, key=lambda found: len(found.mount), default=None)


def read(raw: Any) -> HostFacts | None:
    """Facts from the module's C(host); None where there are none, as when planning offline."""
    if not isinstance(raw, Mapping):
        return None
    return HostFacts(
        gpus=tuple(_gpu(item) for item in _dicts(raw.get("gpus"))),
        gpu_fault=_text(raw.get("gpu_fault")).strip(),
        listeners=tuple(
            Listener(_number(item.get("port")), _text(item.get("address")), _number(item.get("pid")), _text(item.get("unit")))
            for item in _dicts(raw.get("listeners"))
        ),
        mounts=tuple(
            Mount(_text(item.get("mount")), _number(item.get("free_bytes")), _number(item.get("size_bytes")))
            for item in _dicts(raw.get("mounts")) if item.get("mount")
        ),
        weights=_texts(raw.get("weights")),
        verified=_texts(raw.get("verified")),
        mount_points=_texts(raw.get("mount_points")),
        partial_weights=_sizes(raw.get("partial_weights")),
        interfaces=_addresses(raw.get("interfaces")),
        default_ipv4=_text(raw.get("default_ipv4")),
        kernel=kernel.read_facts(raw.get("kernel")),
        firewall=_firewall(raw.get("firewall")),
        nvswitches=_number(raw.get("nvswitches")),
        fabric_manager=_text(raw.get("fabric_manager")),
        hostname=_text(raw.get("hostname")),
    )


def read_stated_gpus(host: str, value: Any) -> tuple[tuple[Gpu, ...] | None, list[Fault]]:
    """GPUs as the user states them in plan_gpus: a number of them, or a list like the facts'. None when not stated."""
    if value is None:
        return None, []
    key = "plan_gpus"
    if isinstance(value, (list, tuple)):
        remedy = "write it like {index: 0, name: H100, memory_bytes: 85520809984}"
        faults = [
            Fault(host, "", f"{key}[{position}]", shown(item), f"this is {kind(item)} where a GPU belongs", remedy)
            for position, item in enumerate(value)
            if not isinstance(item, Mapping)
        ]
        gpus = tuple(_gpu({"index": position, **item}) for position, item in enumerate(value) if isinstance(item, Mapping))
        return gpus, faults
    try:
        count = values.whole(0, 1024)(value)
    except Bad as bad:
        return None, [Fault(host, "", key, shown(value), bad.why, "write how many GPUs the host has, or a list of them")]
    return tuple(Gpu(index) for index in range(count)), []


def _gpu(item: Mapping[str, Any]) -> Gpu:
    return Gpu(
        index=_number(item.get("index")),
        name=_text(item.get("name")),
        memory_bytes=_number(item.get("memory_bytes")),
        compute_capability=str(item.get("compute_capability") or ""),
        driver_version=str(item.get("driver_version") or ""),
    )


def _firewall(value: Any) -> FirewallFacts:
    raw = value if isinstance(value, Mapping) else {}
    connection = raw.get("connection")
    return FirewallFacts(
        ssh_ports=tuple(port for port in map(_number, _items(raw.get("ssh_ports"))) if port),
        client=_text(connection.get("client")) if isinstance(connection, Mapping) else "",
        others=tuple(item for item in _items(raw.get("others")) if isinstance(item, str)),
        published=tuple(port for port in map(_number, _items(raw.get("published"))) if port),
        returned=_text(raw.get("returned")),
    )


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _texts(value: Any) -> frozenset[str]:
    return frozenset(item for item in _items(value) if isinstance(item, str))


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _items(value) if isinstance(item, Mapping)]


def _sizes(value: Any) -> dict[str, int]:
    return {path: _number(size) for path, size in value.items() if isinstance(path, str)} if isinstance(value, Mapping) else {}


def _addresses(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        return {}
    found = {name: tuple(item for item in _items(addresses) if isinstance(item, str)) for name, addresses in value.items() if isinstance(name, str)}
    return {name: addresses for name, addresses in found.items() if addresses}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
