# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readings mean: findings, each with C(name), C(gpu) (index, None for the whole host), C(uuid), C(level), C(cause), C(action) and C(fix).

C(level) is C(error) for a GPU that must not be used, otherwise C(warning). An error is only what the driver itself says, or what makes CUDA fail for
certain: a GPU on which services run must not be refused because of a guess. C(cause) continues "GPU 3 …", or is a sentence where C(gpu) is None.

What a reset or a reboot is needed for: NVIDIA's "GPU Memory Error Management" ("Error Recovery and Response Flags") and C(nvmlDeviceGpuRecoveryAction_t).
"""

from __future__ import annotations

import datetime
import typing as t

from .._nvidia import fix_of
from . import nvidia_report, xid_catalogue
from .xid_catalogue import INVESTIGATE, NONE, REBOOT, REPLACE, RESET_GPU, RESTART_SERVICE, UPDATE_DRIVER

ERROR, WARNING = "error", "warning"
# Names of findings.
RECOVERY, ECC, XID, CLOCKS, PCIE, NVLINK = "gpu-recovery", "gpu-ecc", "gpu-xid", "gpu-clocks", "gpu-pcie", "gpu-nvlink"
FABRIC, PERSISTENCE, DRIVER, HOLD, PROCESSES, UNREAD = "gpu-fabric", "gpu-persistence", "gpu-driver", "driver-hold", "gpu-processes", "gpu-health"
NAMES = (RECOVERY, ECC, XID, CLOCKS, PCIE, NVLINK, FABRIC, PERSISTENCE, DRIVER, HOLD, PROCESSES, UNREAD)

# The driver's recovery actions that forbid to start anything on the GPU. "Drain P2P" and "Recover IMEX Domain" end by themselves, or are not about one GPU.
_RECOVERY = {"reset": RESET_GPU, "drain and reset": RESET_GPU, "bus reset": RESET_GPU, "reboot": REBOOT, "node reboot": REBOOT, "system reboot": REBOOT}
# An XID of a program is old news after a day: the supervisor has long restarted the program.
_PROGRAMS_SECONDS = 24 * 3600
_MOST_XIDS = 3
# Errors of nvidia-smi with which CUDA does not work either. Others, such as a missing permission or no answer, say nothing about it.
_DEAD_DRIVER = ("version mismatch", "couldn't communicate with the NVIDIA driver", "Driver Not Loaded")

Finding = t.Dict[str, t.Any]
Gpu = t.Mapping[str, t.Any]
Events = t.Sequence[t.Mapping[str, t.Any]]


def _finding(name: str, gpu: Gpu | None, level: str, cause: str, action: str, fix: str) -> Finding:
    return {
        "name": name, "gpu": gpu["index"] if gpu is not None else None, "uuid": gpu["uuid"] if gpu is not None else "", "level": level, "cause": cause,
        "action": action, "fix": fix,
    }


def said(finding: t.Mapping[str, t.Any], with_uuid: bool = False) -> str:
    """Return a finding's cause as a sentence."""
    uuid = f" ({finding['uuid']})" if with_uuid and finding["uuid"] else ""
    return f"GPU {finding['gpu']}{uuid} {finding['cause']}" if finding["gpu"] is not None else str(finding["cause"])


def of_gpus(
    gpus: t.Sequence[Gpu], events: Events = (), nvswitches: int = 0, now: float = 0.0, used_since: t.Mapping[int, float] | None = None,
) -> list[Finding]:
    """Return the findings about single GPUs.

    :param gpus: from C(nvidia_report.parse)
    :param events: from C(kernel_log.read); none where it cannot be read
    :param now: seconds since 1970
    :param used_since: by index of a GPU when the newest process on it was started
    """
    found = []
    for gpu in gpus:
        own = [event for event in events if event["kind"] == "xid" and event["bus"] == gpu["bus"]]
        recovery = _recovery(gpu, own)
        found += recovery
        found += _memory(gpu) if not recovery else []
        found += _xids(gpu, own, bool(recovery), now, (used_since or {}).get(gpu["index"], 0.0))
        found += [*_clocks(gpu), *_pcie(gpu), *_fabric(gpu, nvswitches), *_persistence(gpu)]
    return found


def _reset_fix(gpu: Gpu) -> str:
    index = gpu["index"]
    return (
        f"stop the programs that use it and reset it (nvidia-smi -pm 0 -i {index}; nvidia-smi --gpu-reset -i {index}; nvidia-smi -pm 1 -i {index}), "
        "otherwise reboot the host"
    )


_REBOOT_FIX = "reboot the host; if it happens again, check the GPU's power, cooling and slot, and have the GPU replaced"
_REPLACE_FIX = "run NVIDIA's field diagnostic, and have the GPU replaced"


def _recovery(gpu: Gpu, own: Events) -> list[Finding]:
    """A GPU that is lost, or of which the driver says that it has to be reset or the host to be rebooted."""
    action, level, what = "", ERROR, ""
    known = gpu["recovery"].lower()
    if gpu["broken"]:
        action = RESET_GPU if "reset" in gpu["broken"].lower() else REBOOT
        what = f"nvidia-smi reports {gpu['broken']}"
    elif known in _RECOVERY:
        action = _RECOVERY[known]
        what = f"the driver's recovery action is {gpu['recovery']}"
    elif known not in ("", "none"):
        action, level = INVESTIGATE, WARNING
        what = f"the driver's recovery action is {gpu['recovery']}"
    elif gpu["reset_required"] and not known:
        action = RESET_GPU
        what = "the driver requires a reset"
    if not action:
        return []
    ecc = gpu["ecc"]
    details = [
        f"{ecc['volatile']} uncorrectable ECC error{'s' if ecc['volatile'] != 1 else ''}" if ecc["volatile"] else "",
        "row remapping pending" if ecc["pending"] else "",
        *(_described(event) for event in _strong(own)[:1]),
    ]
    why = ", ".join(filter(None, [what, *details]))
    if level == WARNING:
        fix = "see NVIDIA's documentation of this action, and query it again: nvidia-smi --query-gpu=gpu_recovery_action --format=csv"
        return [_finding(RECOVERY, gpu, level, f"is not fully usable: {why}", action, fix)]
    must = "has to be reset" if action == RESET_GPU else "is not usable until the host is rebooted"
    return [_finding(RECOVERY, gpu, level, f"{must}: {why}", action, _reset_fix(gpu) if action == RESET_GPU else _REBOOT_FIX)]


def _memory(gpu: Gpu) -> list[Finding]:
    """Memory errors. With pending remapping new programs may start: the driver keeps the bad memory from them until the next reset."""
    ecc = gpu["ecc"]
    count = f"{ecc['volatile']} uncorrectable ECC error{'s' if ecc['volatile'] != 1 else ''} since the driver was loaded" if ecc["volatile"] else ""
    if ecc["failure"]:
        return [_finding(ECC, gpu, WARNING, "has memory that cannot be repaired (row remapping failure)", REPLACE, _REPLACE_FIX)]
    if ecc["sram_threshold"]:
        return [_finding(ECC, gpu, WARNING, "has more uncorrectable SRAM errors than NVIDIA's threshold", REPLACE, _REPLACE_FIX)]
    if ecc["pending"] or ecc["retirement"]:
        what = "row remapping" if ecc["pending"] else "page retirement"
        cause = f"has a pending {what}, which the next reset completes{f' ({count})' if count else ''}"
        # Drivers before 570 have no recovery action. Only GPUs that offline pages keep new programs from bad memory.
        if not gpu["recovery"] and gpu["reset_required"] is None and ecc["volatile"] and not _offlines_pages(gpu):
            return [_finding(ECC, gpu, ERROR, f"has to be reset: {count}, {what} pending", RESET_GPU, _reset_fix(gpu))]
        return [_finding(ECC, gpu, WARNING, cause, RESET_GPU, f"when no service uses it: {_reset_fix(gpu)}")]
    if ecc["volatile"]:
        fix = "see its XIDs in the kernel's log; if there are more errors, reset it, then have it replaced"
        return [_finding(ECC, gpu, WARNING, f"has had {count}", INVESTIGATE, fix)]
    return []


def _offlines_pages(gpu: Gpu) -> bool:
    """Whether it offlines pages while programs run: GA100, GH100 and GB10x do, according to "GPU Memory Error Management" ("Supported GPUs")."""
    return any(name in gpu["name"] for name in ("A100", "A800", "A30", "H100", "H800", "H200", "H20", "GH200", "B100", "B200", "B300", "GB200", "GB300"))


def _strong(own: Events) -> list[t.Mapping[str, t.Any]]:
    """XIDs that need more than a restart of the service."""
    return [event for event in own if xid_catalogue.find(event["code"]).action not in (NONE, RESTART_SERVICE)]


def _described(event: t.Mapping[str, t.Any]) -> str:
    xid = xid_catalogue.find(event["code"])
    times = f" {event['count']} times, last" if event["count"] > 1 else ""
    return f"XID {xid.code} ({xid.meaning}){times} at {_time(event['time'])}"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _xids(gpu: Gpu, own: Events, is_known: bool, now: float, used_since: float) -> list[Finding]:
    """XIDs of this GPU, the newest first. Those for which a program is responsible count for a day, the others until the driver is loaded again."""
    found = []
    # Whether the driver itself says that nothing has to be done.
    trusted = bool(gpu["recovery"]) or gpu["reset_required"] is not None
    for event in own:
        xid = xid_catalogue.find(event["code"])
        if xid.action == NONE or (xid.action == RESTART_SERVICE and now - event["time"] > _PROGRAMS_SECONDS):
            continue
        # A program that was started since then shows that the GPU can be used.
        forbidden = xid_catalogue.forbids_use(xid) and not is_known and not trusted and used_since < event["time"]
        found.append(_finding(XID, gpu, ERROR if forbidden else WARNING, f"has reported {_described(event)}", xid.action, _xid_fix(gpu, xid.action)))
    return found[:_MOST_XIDS]


def _xid_fix(gpu: Gpu, action: str) -> str:
    return {
        RESTART_SERVICE: "the supervisor restarts a service that it ends; if it happens again, look for an error of the program or of its CUDA version",
        UPDATE_DRIVER: "install a driver and a vGPU manager that belong together",
        RESET_GPU: _reset_fix(gpu),
        REBOOT: _REBOOT_FIX,
    }.get(action, "look the code up in NVIDIA's XID catalogue; if it happens again, run NVIDIA's field diagnostic")


def _clocks(gpu: Gpu) -> list[Finding]:
    reasons = [nvidia_report.CLOCK_REASONS[reason] for reason in gpu["clocks"]]
    if not reasons:
        return []
    hot = any("thermal" in reason for reason in gpu["clocks"])
    fix = "check the host's cooling and fans (nvidia-smi -q -d TEMPERATURE)" if hot else "check the host's power supplies and the GPU's power connectors"
    return [_finding(CLOCKS, gpu, WARNING, f"runs with lower clocks: {', '.join(reasons)}", INVESTIGATE, fix)]


def _pcie(gpu: Gpu) -> list[Finding]:
    """PCIe below what card and slot can do. Idle GPUs lower the generation to save power; in P0 they do not."""
    pcie = gpu["pcie"]
    fix = "reseat the card or its riser, and check the slot and the BIOS settings; dmesg shows PCIe errors (AER)"
    parts = []
    if pcie["width"] and pcie["max_width"] and pcie["width"] < pcie["max_width"]:
        parts.append(f"width x{pcie['width']} of x{pcie['max_width']}")
    if pcie["generation"] and pcie["max_generation"] and pcie["generation"] < pcie["max_generation"] and gpu["state"] == "P0":
        parts.append(f"generation {pcie['generation']} of {pcie['max_generation']}")
    return [_finding(PCIE, gpu, WARNING, f"uses less than its PCIe link: {', '.join(parts)}", INVESTIGATE, fix)] if parts else []


def _fabric(gpu: Gpu, nvswitches: int) -> list[Finding]:
    """A GPU behind NVSwitches has to be registered with Fabric Manager: until then CUDA fails with error 802."""
    fabric = gpu["fabric"]
    fix = "start Fabric Manager in the driver's version (systemctl restart nvidia-fabricmanager), see journalctl -u nvidia-fabricmanager; otherwise reboot"
    state, status = fabric["state"].lower(), fabric["status"].lower()
    if gpu["mig"]:
        # MIG uses no NVLinks.
        return []
    if state in ("not started", "in progress"):
        # Without a switch in sight it may be a virtual machine that has the GPU alone.
        cause = f"is not registered with the NVSwitches (fabric state: {fabric['state']}): CUDA fails with error 802"
        return [_finding(FABRIC, gpu, ERROR if nvswitches else WARNING, cause, INVESTIGATE, fix)]
    if state == "completed" and status not in ("success", ""):
        cause = f"could not be registered with the NVSwitches (fabric status: {fabric['status']})"
        return [_finding(FABRIC, gpu, ERROR if nvswitches else WARNING, cause, INVESTIGATE, fix)]
    bad = {"bandwidth": ("degraded",), "summary": ("unhealthy", "limited capacity"), "route_unhealthy": ("true",), "route_recovery_in_progress": ("true",),
           "access_timeout_recovery": ("true",)}
    parts = [f"{key} {fabric['health'][key]}" for key, values in bad.items() if fabric["health"].get(key, "").lower() in values]
    return [_finding(FABRIC, gpu, WARNING, f"has a connection to the NVSwitches that is not healthy: {', '.join(parts)}", INVESTIGATE, fix)] if parts else []


def _persistence(gpu: Gpu) -> list[Finding]:
    if gpu["persistence"] != "Disabled":
        return []
    why = "has persistence mode disabled: the driver initializes it again at each start, which takes seconds and forgets its settings"
    return [_finding(PERSISTENCE, gpu, WARNING, why, INVESTIGATE, "enable NVIDIA's daemon: systemctl enable --now nvidia-persistenced")]


def of_nvlinks(gpus: t.Sequence[Gpu], links: t.Mapping[int, t.Mapping[int, bool]]) -> list[Finding]:
    """Return the GPUs that have fewer active NVLinks than others of their kind. All links of a card without a bridge are inactive, as are some by design."""
    active = {index: sum(states.values()) for index, states in links.items()}
    found = []
    for gpu in gpus:
        most = max((active[other["index"]] for other in gpus if other["name"] == gpu["name"] and other["index"] in active), default=0)
        own = active.get(gpu["index"])
        if own is None or own >= most or gpu["mig"]:
            continue
        down = ", ".join(str(link) for link, is_active in links[gpu["index"]].items() if not is_active)
        cause = f"has {own} active NVLinks, other GPUs of this host have {most}{f' (inactive: {down})' if down else ''}"
        found.append(_finding(NVLINK, gpu, WARNING, cause, RESET_GPU, _reset_fix(gpu)))
    return found


def of_switches(events: Events) -> list[Finding]:
    """Return the fatal errors of NVSwitches."""
    fix = "reset all GPUs of the host together with the NVSwitches (nvidia-smi --gpu-reset) and restart nvidia-fabricmanager, or reboot the host"
    fatal = [event for event in events if event["kind"] == "sxid" and event["fatal"]]
    causes = [f"NVSwitch {event['bus']} has reported the fatal SXid {event['code']} at {_time(event['time'])}: {event['text']}" for event in fatal[:_MOST_XIDS]]
    return [_finding(FABRIC, None, WARNING, cause, REBOOT, fix) for cause in causes]


def of_fabric_manager(nvswitches: int, state: str) -> list[Finding]:
    """Return whether Fabric Manager's service does not run on a host with NVSwitches. C(state) is empty where it is not installed."""
    if not nvswitches or state in ("", "active", "activating", "reloading"):
        return []
    fix = "systemctl restart nvidia-fabricmanager, and see journalctl -u nvidia-fabricmanager for the cause, often a version other than the driver's"
    return [_finding(FABRIC, None, WARNING, f"The service nvidia-fabricmanager is {state}, although the host has NVSwitches", INVESTIGATE, fix)]


def of_driver(module: str, library: str, waiting: t.Sequence[str], upgradable: t.Sequence[str]) -> list[Finding]:
    """Return what is wrong between the driver's parts.

    :param module: version of the loaded kernel module
    :param library: version of NVML's library
    :param waiting: packages of the driver that wait for a reboot
    :param upgradable: packages of the driver that an unattended upgrade may change
    """
    found = []
    if module and library and module != library:
        cause = f"The loaded kernel module is of driver {module}, and the libraries are of {library}: programs that start now do not find a GPU"
        found.append(_finding(DRIVER, None, WARNING, cause, REBOOT, fix_of("version mismatch")))
    elif waiting:
        cause = f"The driver was updated and waits for a reboot ({', '.join(waiting[:3])})"
        found.append(_finding(DRIVER, None, WARNING, cause, REBOOT, "reboot the host when no service is needed"))
    if upgradable:
        more = f" and {len(upgradable) - 3} more" if len(upgradable) > 3 else ""
        cause = f"Unattended upgrades may update the driver under running services: {', '.join(upgradable[:3])}{more} not on hold"
        found.append(_finding(HOLD, None, WARNING, cause, NONE, f"hold them: apt-mark hold {' '.join(upgradable)}"))
    return found


def of_processes(others: t.Sequence[t.Mapping[str, t.Any]], gpus: t.Sequence[Gpu]) -> list[Finding]:
    """Return the processes that compute on a service's GPU and are not the service's. C(others) is from C(processes.others)."""
    by_index = {gpu["index"]: gpu for gpu in gpus}
    return [
        _finding(
            PROCESSES, by_index[other["gpu"]], WARNING,
            f"is also used by process {other['pid']} ({_printable(other['name'])}{f', unit {other_unit}' if other_unit else ''}), which is no managed service",
            INVESTIGATE, f"end it, or give the service other GPUs (systemctl status {other['pid']} shows where it comes from)",
        )
        for other in others for other_unit in [_printable(other["unit"])]
    ]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:100])


def of_error(error: str) -> list[Finding]:
    """Return what an error of nvidia-smi as a whole means: an error only if CUDA does not work either."""
    if not error:
        return []
    dead = any(words.lower() in error.lower() for words in _DEAD_DRIVER)
    name, level, action = (DRIVER, ERROR, REBOOT) if dead else (UNREAD, WARNING, INVESTIGATE)
    return [_finding(name, None, level, f"The GPUs' health cannot be read: {error}", action, fix_of(error))]


def of_unread(what: str) -> list[Finding]:
    """Return that the kernel's log cannot be read, and what follows."""
    if not what:
        return []
    cause = f"The kernel's log cannot be read ({what}), so XIDs are unknown"
    return [_finding(UNREAD, None, WARNING, cause, INVESTIGATE, "read it with dmesg on the host (of a container: on the machine that runs it)")]


def of_named(gpus: t.Sequence[Gpu], named: t.Sequence[str] | None) -> tuple[list[Gpu], list[Finding]]:
    """Return the GPUs that a service uses, and a finding for each one that is not there.

    :param named: indexes, UUIDs or unique prefixes of UUIDs, also of MIG slices, as in CUDA_VISIBLE_DEVICES; None for all
    """
    if named is None:
        return list(gpus), []
    used: list[Gpu] = []
    missing: list[Finding] = []
    for name in named:
        match = [
            gpu for gpu in gpus
            if name == str(gpu["index"]) or (not name.isdigit() and any(uuid.startswith(name) for uuid in (gpu["uuid"], *gpu["slices"])))
        ]
        used += [gpu for gpu in match if gpu not in used]
        # A driver without any GPU, or one that does not list slices, says nothing about a single one.
        if not match and gpus and not name.startswith("MIG"):
            cause = f"GPU {name} is not there: nvidia-smi lists {len(gpus)} GPU{'s' if len(gpus) != 1 else ''}"
            missing.append(_finding(RECOVERY, None, ERROR, cause, REBOOT, f"see dmesg for its errors (XID 79: fallen off the bus); {_REBOOT_FIX}"))
    return used, missing
