# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host: from the C(host_facts) module, read leniently, or GPUs that the user states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Iterable, Mapping

from .. import values
from ..errors import InvalidValue, PlanError, kind, shown
from . import stated_gpus
from .settings import kernel


# Vendors of GPUs.
NVIDIA, AMD = "nvidia", "amd"

# Names of findings about GPUs with which a supervisor does not start its program, and which a user may accept.
HELD_BY = ("gpu-recovery", "gpu-ecc", "gpu-fabric")


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one slice of a GPU that is split by MIG; memory in bytes, 0 when unknown.

    C(index) is the number of a GPU or the UUID of a slice. C(parent) is the number of a slice's GPU, None for a whole GPU.
    C(error) is nvidia-smi's message about a GPU that is lost or needs a reset, C(split) whether MIG is on. Of AMD's GPUs C(gfx) is the LLVM target,
    C(node) the KFD node, by which HIP numbers them (None when unknown), and C(partition) the mode of one that is divided, such as CPX.
    """

    index: int | str
    name: str = ""
    memory_bytes: int = 0
    compute_capability: str = ""
    driver_version: str = ""
    error: str = ""
    split: bool = False
    parent: int | None = None
    vendor: str = NVIDIA
    gfx: str = ""
    node: int | None = None
    partition: str = ""

    @property
    def is_amd(self) -> bool:
        return self.vendor == AMD


@dataclass(frozen=True)
class AmdFacts:
    """AMD's driver and ROCm: C(error) is why the GPUs are unknown, with its C(fix), C(warnings) are tools that failed, C(rocm_version) is that in
    /opt/rocm (empty without one). C(device_groups) may open the GPUs' device files, C(closed_devices) are files that only root may open."""

    error: str = ""
    fix: str = ""
    warnings: tuple[str, ...] = ()
    rocm_version: str = ""
    device_groups: tuple[str, ...] = ()
    closed_devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """A listening socket; C(unit) is the systemd unit of its process or empty, C(program) the name of that, C(protocol) V(tcp) or V(udp)."""

    port: int
    address: str
    pid: int
    unit: str
    program: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True)
class Mount:
    """A mounted file system; C(free_bytes) are available to users other than root, C(size_bytes) is the whole size, 0 when unknown.

    C(options) are mount options such as noexec; C(free_files) are free inodes, None where the file system has no limit.
    """

    mount: str
    free_bytes: int
    size_bytes: int = 0
    options: frozenset[str] = frozenset()
    free_files: int | None = None


@dataclass(frozen=True)
class SystemFacts:
    """The operating system: C(id), C(version) and C(like) from /etc/os-release, C(architecture) like x86_64, C(systemd) whether systemd booted
    the host (None when unknown). Text is empty when unknown."""

    id: str = ""
    version: str = ""
    like: tuple[str, ...] = ()
    architecture: str = ""
    systemd: bool | None = None


@dataclass(frozen=True)
class PythonFacts:
    """C(default) is the version of /usr/bin/python3, C(found) the versions of interpreters by path (empty for one that is not there)."""

    default: str = ""
    found: Mapping[str, str] | None = None

    def version_of(self, path: str) -> str | None:
        """Version of an interpreter; empty when it does not exist, None when unknown."""
        if self.found is not None and path in self.found:
            return self.found[path]
        return (self.default or None) if path == "/usr/bin/python3" else None


@dataclass(frozen=True)
class Lacking:
    """What the kernel C(lacks) for the host's C(command); C(other) is the variant of the command that works, empty where none does, C(installed)
    whether the command is installed."""

    lacks: str
    command: str
    other: str
    installed: bool


@dataclass(frozen=True)
class FirewallFacts:
    """Facts for the firewall.

    - C(ssh_ports): ports on which SSH listens
    - C(client): the controller's address (empty without SSH)
    - C(others): other firewall managers
    - C(published): ports that containers publish beyond loopback
    - C(returned): when a change was rolled back
    - C(lacking): what the kernel lacks for UFW, None when nothing is known to be missing
    - C(outgoing): UFW's policy for outgoing traffic, empty when unknown
    - C(opens_all): whether UFW is known to block nothing so far
    - C(let_in): ports and protocols that unmanaged rules allow
    """

    ssh_ports: tuple[int, ...] = ()
    client: str = ""
    others: tuple[str, ...] = ()
    published: tuple[int, ...] = ()
    returned: str = ""
    lacking: Lacking | None = None
    outgoing: str = ""
    opens_all: bool = False
    let_in: tuple[tuple[int, str], ...] = ()
    # Managed rules: port (None for all), protocol (None for any), source, comment.
    own: tuple[tuple[int | None, str | None, str, str], ...] = ()
    # UFW's state as C(module_utils/_firewall/state.py) writes it; empty when the host did not report it.
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class UnitFacts:
    """A unit of a model service that this collection wrote. C(service) is the service's name, C(active) and C(enabled) are systemd's states,
    C(port) is the port of its API, 0 without one, C(gpus) are the indexes of its GPUs, None when unknown."""

    unit: str
    service: str
    active: str
    enabled: str
    port: int
    gpus: tuple[int, ...] | None

    @property
    def runs(self) -> bool:
        """Whether any of its processes may be left."""
        return self.active not in ("inactive", "failed", "")


@dataclass(frozen=True)
class GpuFinding:
    """A finding about the health of the GPUs: C(name), C(gpu) (None when it is about the whole host), whether the GPU must not be used, the cause as a
    sentence, and the fix."""

    name: str
    gpu: int | None
    is_error: bool
    cause: str
    fix: str


@dataclass(frozen=True)
class HostFacts:
    """Facts of one host.

    - C(gpu_error): nvidia-smi's message when it failed
    - C(listeners): TCP sockets
    - C(weights): paths of complete weights
    - C(verified): paths of pre-staged weights that have not changed since they were verified
    - C(mount_points): all mount points
    - C(partial_weights): bytes of partial downloads by their final path
    - C(interfaces): addresses of each network interface that has any, IPv4 first
    - C(default_ipv4), C(default_ipv6): source addresses of the default routes
    - C(unanswered): what could not be read, and why
    - C(kernel): None when its settings are unknown
    - C(nvswitches): number of NVSwitches
    - C(fabric_manager): its version, empty when it is not installed
    - C(hostname): the host's own name
    - C(releases): names of complete releases
    - C(paths): targets of links in the settings' paths, by path
    - C(wheels): names of files in wheelhouses, by directory
    """

    gpus: tuple[Gpu, ...]
    gpu_error: str
    listeners: tuple[Listener, ...]
    udp_listeners: tuple[Listener, ...]
    mounts: tuple[Mount, ...]
    weights: frozenset[str]
    verified: frozenset[str]
    mount_points: frozenset[str]
    partial_weights: dict[str, int]
    interfaces: dict[str, tuple[str, ...]]
    default_ipv4: str
    default_ipv6: str
    unanswered: dict[str, str]
    kernel: kernel.KernelFacts | None
    firewall: FirewallFacts
    nvswitches: int
    fabric_manager: str
    hostname: str
    releases: frozenset[str]
    paths: Mapping[str, str]
    system: SystemFacts
    python: PythonFacts
    wheels: Mapping[str, tuple[str, ...]]
    weights_patterns: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    # Units of model services, and comments of accounts that may conflict with those of services, by name.
    units: tuple[UnitFacts, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)
    # Groups of these accounts by name, and further groups of the account that downloads.
    account_members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    account_groups: tuple[str, ...] = ()
    # Owner, group and mode of directories by path.
    directories: Mapping[str, str] = field(default_factory=dict)
    gpu_health: tuple[GpuFinding, ...] = ()
    # Temporary units of updates that a run has not finished.
    green_units: frozenset[str] = frozenset()
    amd: AmdFacts = AmdFacts()
    # Version of glibc, empty when unknown.
    glibc: str = ""

    @property
    def lacks_ipv4(self) -> bool:
        """Whether the host is known to have only IPv6 addresses."""
        beyond = [address for addresses in self.interfaces.values() for address in addresses if not address.startswith("127.") and address != "::1"]
        return bool(beyond) and all(":" in address for address in beyond)

    def mount_of(self, path: str) -> Mount | None:
        """The file system of a path, existing or not, after links are followed."""
        path = self.paths.get(path, path)
        holding = [found for found in self.mounts if found.mount == "/" or path == found.mount or path.startswith(found.mount.rstrip("/") + "/")]
        return max(holding, key=lambda found: len(found.mount), default=None)


def read(raw: Any) -> HostFacts | None:
    """Facts from the module's C(host); None where there are none, as when planning offline."""
    if not isinstance(raw, Mapping):
        return None
    return HostFacts(
        gpus=(*(gpu for item in _dicts(raw.get("gpus")) for gpu in _with_slices(item)), *_amd_gpus(raw.get("amd"))),
        gpu_error=_text(raw.get("gpu_error")).strip(),
        listeners=tuple(_listener(item, "tcp") for item in _dicts(raw.get("listeners"))),
        udp_listeners=tuple(_listener(item, "udp") for item in _dicts(raw.get("udp_listeners"))),
        mounts=tuple(
            Mount(
                _text(item.get("mount")), _number(item.get("free_bytes")), _number(item.get("size_bytes")), _texts(item.get("options")),
                _number(item["free_files"]) if item.get("free_files") is not None else None,
            )
            for item in _dicts(raw.get("mounts")) if item.get("mount")
        ),
        weights=_texts(raw.get("weights")),
        weights_patterns=_patterns(raw.get("weights_patterns")),
        verified=_texts(raw.get("verified")),
        mount_points=_texts(raw.get("mount_points")),
        partial_weights=_sizes(raw.get("partial_weights")),
        interfaces=_addresses(raw.get("interfaces")),
        default_ipv4=_text(raw.get("default_ipv4")),
        default_ipv6=_text(raw.get("default_ipv6")),
        unanswered=_strings(raw.get("unanswered")),
        kernel=kernel.read_facts(raw.get("kernel")),
        firewall=_firewall(raw.get("firewall")),
        nvswitches=_number(raw.get("nvswitches")),
        fabric_manager=_text(raw.get("fabric_manager")),
        hostname=_text(raw.get("hostname")),
        releases=_texts(raw.get("releases")),
        paths=_strings(raw.get("paths")),
        system=_system(raw),
        # Older facts contain only the interpreter of the module, which is /usr/bin/python3 unless the inventory sets another one.
        python=PythonFacts(_text(raw.get("python")), _strings(raw["pythons"]) if isinstance(raw.get("pythons"), Mapping) else None),
        wheels={path: tuple(sorted(_texts(names))) for path, names in raw["wheels"].items()} if isinstance(raw.get("wheels"), Mapping) else {},
        units=tuple(_unit(item) for item in _dicts(raw.get("services")) if item.get("unit")),
        green_units=_texts(raw.get("green_units")),
        accounts=_comments(raw.get("accounts")),
        account_members=_memberships(raw.get("accounts")),
        account_groups=tuple(item for item in _items(raw.get("account_groups")) if isinstance(item, str)),
        directories=_strings(raw.get("directories")),
        amd=_amd(raw.get("amd")),
        glibc=_text(raw.get("glibc")),
        gpu_health=tuple(_gpu_finding(item) for item in _dicts(raw.get("gpu_health")) if item.get("name")),
    )


def _amd(value: Any) -> AmdFacts:
    raw = value if isinstance(value, Mapping) else {}
    lists = {key: tuple(item for item in _items(raw.get(key)) if isinstance(item, str)) for key in ("warnings", "device_groups", "closed_devices")}
    return AmdFacts(error=_text(raw.get("error")).strip(), fix=_text(raw.get("fix")), rocm_version=_text(raw.get("rocm_version")), **lists)


def _amd_gpus(value: Any) -> list[Gpu]:
    items = _dicts(value.get("gpus")) if isinstance(value, Mapping) else []
    return [replace(_gpu(item), vendor=AMD, compute_capability="") for item in items]


def _gpu_finding(item: Mapping[str, Any]) -> GpuFinding:
    gpu = item.get("gpu")
    index = gpu if isinstance(gpu, int) else None
    cause = _text(item.get("cause"))
    return GpuFinding(
        _text(item.get("name")), index, item.get("level") == "error", cause if index is None else f"GPU {index} {cause}", _text(item.get("fix")),
    )


def read_stated_gpus(host: str, value: Any) -> tuple[tuple[Gpu, ...] | None, list[PlanError]]:
    """GPUs that the user states in plan_gpus: a number, or a list as in the facts. None when not stated."""
    if value is None:
        return None, []
    key = "plan_gpus"
    if isinstance(value, (list, tuple)):
        errors: list[PlanError] = []
        gpus: list[Gpu] = []
        for position, item in enumerate(value):
            if not isinstance(item, Mapping):
                fix = "write it like {index: 0, name: H100, memory_bytes: 85520809984}"
                errors.append(PlanError(host, "", f"{key}[{position}]", shown(item), f"this is {kind(item)} where a GPU belongs", fix))
                continue
            read, bad = stated_gpus.read(host, f"{key}[{position}]", {"index": position, **item})
            errors += bad
            gpus += _with_slices(read)
        errors += stated_gpus.twice(host, key, [gpu.index for gpu in gpus])
        return tuple(gpus), errors
    try:
        count = values.integer(0, 1024)(value)
    except InvalidValue as bad_count:
        return None, [PlanError(host, "", key, shown(value), bad_count.why, "write how many GPUs the host has, or a list of them")]
    return tuple(Gpu(index) for index in range(count)), []


def completed(found: tuple[Gpu, ...], stated: tuple[Gpu, ...] | None) -> tuple[Gpu, ...]:
    """The GPUs of a host. Values that nvidia-smi does not report come from plan_gpus, such as memory shared with the CPU."""
    by_index = {gpu.index: gpu for gpu in stated or ()}
    return tuple(_filled(gpu, by_index[gpu.index]) if gpu.index in by_index else gpu for gpu in found)


def orphaned(units: Iterable[UnitFacts], names: Iterable[str | None]) -> list[UnitFacts]:
    """Units of this collection whose service is not among these names of present and absent services."""
    known = set(names)
    return [unit for unit in units if unit.service not in known]


def gpus_in_use(units: Iterable[UnitFacts]) -> dict[int, UnitFacts]:
    """The running unit that uses each GPU, as far as the GPUs of units are known."""
    return {index: unit for unit in units if unit.runs for index in unit.gpus or ()}


def _filled(gpu: Gpu, stated: Gpu) -> Gpu:
    return replace(
        gpu,
        name=gpu.name or stated.name,
        memory_bytes=gpu.memory_bytes or stated.memory_bytes,
        compute_capability=gpu.compute_capability or stated.compute_capability,
        driver_version=gpu.driver_version or stated.driver_version,
        gfx=gpu.gfx or stated.gfx,
    )


def _with_slices(item: Mapping[str, Any]) -> list[Gpu]:
    """A GPU, followed by its MIG slices."""
    gpu = _gpu(item)
    slices = [
        Gpu(
            index=_text(part.get("uuid")), name=" ".join(filter(None, (gpu.name, "MIG", _text(part.get("profile"))))),
            memory_bytes=_number(part.get("memory_bytes")), compute_capability=gpu.compute_capability, driver_version=gpu.driver_version,
            error=gpu.error, parent=gpu.index if isinstance(gpu.index, int) else None,
        )
        for part in _dicts(item.get("slices")) if part.get("uuid")
    ]
    return [replace(gpu, split=True) if slices else gpu, *slices]


def _gpu(item: Mapping[str, Any]) -> Gpu:
    return Gpu(
        index=_number(item.get("index")),
        name=_text(item.get("name")),
        memory_bytes=_number(item.get("memory_bytes")),
        compute_capability=str(item.get("compute_capability") or ""),
        driver_version=str(item.get("driver_version") or ""),
        error=_text(item.get("error")),
        split=item.get("split") is True,
        vendor=AMD if item.get("gfx") else NVIDIA,
        gfx=_text(item.get("gfx")),
        node=item["node"] if isinstance(item.get("node"), int) else None,
        partition=_text(item.get("partition")),
    )


def _system(raw: Mapping[str, Any]) -> SystemFacts:
    found = raw.get("os")
    names = found if isinstance(found, Mapping) else {}
    like = names.get("like")
    booted = raw.get("systemd")
    return SystemFacts(
        id=_text(names.get("id")),
        version=_text(names.get("version_id")),
        like=tuple(like.split()) if isinstance(like, str) else tuple(item for item in _items(like) if isinstance(item, str)),
        architecture=_text(raw.get("architecture")),
        systemd=booted if isinstance(booted, bool) else None,
    )


def _strings(value: Any) -> dict[str, str]:
    return {name: text for name, text in value.items() if isinstance(name, str) and isinstance(text, str)} if isinstance(value, Mapping) else {}


def _listener(item: Mapping[str, Any], protocol: str) -> Listener:
    return Listener(
        _number(item.get("port")), _text(item.get("address")), _number(item.get("pid")), _text(item.get("unit")), _text(item.get("program")), protocol
    )


def _firewall(value: Any) -> FirewallFacts:
    raw = value if isinstance(value, Mapping) else {}
    connection = raw.get("connection")
    state = raw.get("state") if isinstance(raw.get("state"), Mapping) else {}
    policies = state.get("policies") if isinstance(state.get("policies"), Mapping) else {}
    shuts = state.get("enabled") is True and policies.get("INPUT") in ("DROP", "REJECT")
    return FirewallFacts(
        ssh_ports=tuple(port for port in map(_number, _items(raw.get("ssh_ports"))) if port),
        client=_text(connection.get("client")) if isinstance(connection, Mapping) else "",
        others=tuple(item for item in _items(raw.get("others")) if isinstance(item, str)),
        published=tuple(port for port in map(_number, _items(raw.get("published"))) if port),
        returned=_text(raw.get("returned")),
        own=_own_rules(raw.get("state")),
        state=state,
        lacking=_lacking(raw.get("backend"), state.get("ipv6") is not False),
        outgoing=_text(policies.get("OUTPUT")),
        opens_all=bool(state) and not shuts,
        let_in=tuple(
            (_number(rule.get("port")), _text(rule.get("protocol"))) for rule in _dicts(state.get("rules"))
            if _text(rule.get("action")).partition("_")[0] in ("allow", "limit") and not rule.get("elsewhere")
        ),
    )


def _lacking(value: Any, ipv6: bool) -> Lacking | None:
    """What the kernel lacks for the host's iptables, and for ip6tables where IPv6 is on."""
    raw = value if isinstance(value, Mapping) else {}
    legacy = raw.get("legacy") if isinstance(raw.get("legacy"), Mapping) else {}
    commands = ("iptables", "ip6tables") if ipv6 else ("iptables",)
    has_nft, has_legacy = raw.get("nft"), all(legacy.get(command) is True for command in commands)
    installed = raw.get("installed") is True
    for command in commands:
        if raw.get(command) == "nft" and has_nft is False:
            return Lacking("nf_tables", f"{command}-nft", "legacy" if has_legacy else "", installed)
        if raw.get(command) == "legacy" and legacy.get(command) is False:
            return Lacking("legacy iptables tables", f"{command}-legacy", "nft" if has_nft else "", installed)
    return None


def _own_rules(state: Any) -> tuple[tuple[int | None, str | None, str, str], ...]:
    """The managed rules of the firewall, which have this collection's comment, one for each source."""
    rows = _dicts(state.get("rules")) if isinstance(state, Mapping) else []
    # An administrator may have added logging (allow_log, allow_log-all).
    allow = (row for row in rows if _text(row.get("action")).partition("_")[0] == "allow" and not row.get("elsewhere"))
    own = (row for row in allow if _text(row.get("comment")).startswith("inferops: "))
    return tuple(
        (
            _number(row.get("port")) or None, None if row.get("protocol") == "any" else _text(row.get("protocol")),
            _text(row.get("source")), _text(row.get("comment")),
        )
        for row in own
    )


def _unit(item: Mapping[str, Any]) -> UnitFacts:
    gpus = item.get("gpus")
    return UnitFacts(
        unit=_text(item.get("unit")),
        service=_text(item.get("service")),
        active=_text(item.get("active")),
        enabled=_text(item.get("enabled")),
        port=_number(item.get("port")),
        gpus=tuple(map(_number, gpus)) if isinstance(gpus, (list, tuple)) else None,
    )


def _comments(value: Any) -> dict[str, str]:
    found = value if isinstance(value, Mapping) else {}
    return {name: _text(about.get("comment")) for name, about in found.items() if isinstance(name, str) and isinstance(about, Mapping)}


def _memberships(value: Any) -> dict[str, frozenset[str]]:
    found = value if isinstance(value, Mapping) else {}
    return {
        name: _texts(about.get("groups")) | {_text(about.get("group"))}
        for name, about in found.items() if isinstance(name, str) and isinstance(about, Mapping)
    }


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _texts(value: Any) -> frozenset[str]:
    return frozenset(item for item in _items(value) if isinstance(item, str))


def _patterns(value: Any) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return {path: (_texts(row.get("include")), _texts(row.get("exclude"))) for path, row in rows if isinstance(path, str) and isinstance(row, Mapping)}


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
