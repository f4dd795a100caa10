# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read GPUs from nvidia-smi's machine-readable output."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import typing as t

from xml.etree import ElementTree

from ._exit_status import describe, signal_of

# Names as `nvidia-smi --help-query-gpu` documents them; the order is that of the parsed columns.
QUERY = ("index", "uuid", "name", "memory.total", "driver_version", "compute_cap")
# Fields about a GPU's state. A lost GPU still reports its name and memory, which the driver has cached, but an error for these fields.
STATE = ("mig.mode.current", "pstate", "temperature.gpu", "utilization.gpu")
# Since driver 570: None, Reset, Reboot, Drain P2P, Drain and Reset; later also Recover IMEX Domain, Bus Reset and System Reboot.
RECOVERY = "gpu_recovery_action"
MIB = 1024 * 1024
# Seconds that nvidia-smi may take: a driver in trouble can hang it for minutes; a healthy one answers in a few seconds at worst. A program sets fewer.
SECONDS = 60.0

# NVML's errors in place of a value. Others ("[N/A]", "[Not Supported]", "[Insufficient Permissions]") mean that there is no such value.
_BROKEN = re.compile(r"GPU is lost|GPU requires reset|Unknown Error|ERR!", re.IGNORECASE)
_NO_ACTION = ("", "none", "n/a", "[n/a]", "[not supported]", "not supported")
# Actions that are not about this GPU alone, and after which the driver names another one, or none.
_ELSEWHERE = ("drain p2p", "recover imex")
_UNKNOWN_FIELD = "is not a valid field"
# `nvidia-smi -L` lists the slices of a GPU indented after it.
_LISTED_GPU = re.compile(r"GPU (\d+): ")
_LISTED_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)\s]+)\)")


def parse_gpus(text: str, fields: t.Sequence[str] = QUERY) -> list[dict[str, t.Any]]:
    """Parse the output of `--query-gpu=… --format=csv,noheader,nounits`; memory is in bytes.

    A value that nvidia-smi does not have ("[N/A]", "[Not Supported]") becomes None. C(error) is the error of a GPU that is lost or has to be
    reset, empty for a healthy one; C(split) is whether MIG is enabled. Raises ValueError for a line with another format.

    :param fields: the queried fields, which begin with C(QUERY)
    """
    gpus = []
    for line in text.splitlines():
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(fields) or not cells[0].isdigit():
            raise ValueError(f"nvidia-smi printed a line that is not a GPU: {line.strip()!r}")
        known = [None if cell.startswith("[") or _BROKEN.search(cell) else cell for cell in cells]
        state = dict(zip(fields, cells))
        gpus.append({
            "index": int(cells[0]),
            "uuid": known[1],
            "name": known[2],
            "memory_bytes": int(cells[3]) * MIB if cells[3].isdigit() else None,
            "driver_version": known[4],
            "compute_capability": known[5],
            "error": _state_error(state),
            "split": state.get("mig.mode.current", "") == "Enabled",
        })
    return gpus


def is_broken(value: str) -> bool:
    """Whether nvidia-smi shows an error of NVML in place of a value."""
    return bool(_BROKEN.search(value))


def _state_error(state: t.Mapping[str, str]) -> str:
    """Return the error of a GPU in nvidia-smi's words: an error in place of a value, otherwise the driver's recovery action."""
    broken = [f"{name} {cell}" for name, cell in state.items() if _BROKEN.search(cell)]
    if broken:
        return broken[0]
    action = state.get(RECOVERY, "")
    return "" if action.lower() in _NO_ACTION or action.lower().startswith(_ELSEWHERE) else f"{RECOVERY} {action}"


def parse_slices(listed: str, details: t.Mapping[int, t.Sequence[t.Mapping[str, t.Any]]]) -> dict[int, list[dict[str, t.Any]]]:
    """Parse `nvidia-smi -L`: the MIG slices of each GPU with C(uuid), C(profile) and C(memory_bytes).

    :param details: by index of a GPU its instances from C(parse_details), which have the memory
    """
    found: dict[int, list[dict[str, t.Any]]] = {}
    gpu = -1
    for line in listed.splitlines():
        card, part = _LISTED_GPU.match(line), _LISTED_SLICE.match(line)
        if card:
            gpu = int(card.group(1))
        elif part and gpu >= 0:
            memory = [one["memory_bytes"] for one in details.get(gpu, ()) if one["index"] == int(part.group(2))]
            found.setdefault(gpu, []).append({"uuid": part.group(3), "profile": part.group(1), "memory_bytes": memory[0] if memory else None})
    return found


def read_gpus() -> tuple[list[dict[str, t.Any]], str]:
    """Return the host's GPUs and an error. Without nvidia-smi there are no GPUs and no error; a failing nvidia-smi is an error.

    A GPU with MIG has C(slices).
    """
    gpus, error = _query_gpus()
    split = [gpu for gpu in gpus if gpu["split"]]
    if split:
        said, _error = ask("-q", "-x")
        try:
            by_uuid = parse_details(said)["gpus"]
        except ValueError:
            by_uuid = {}
        slices = parse_slices(ask("-L")[0], {gpu["index"]: by_uuid.get(gpu["uuid"], {}).get("mig", {}).get("instances", []) for gpu in split})
        for gpu in split:
            gpu["slices"] = slices.get(gpu["index"], [])
    return gpus, error


def _query_gpus() -> tuple[list[dict[str, t.Any]], str]:
    if shutil.which("nvidia-smi") is None:
        return [], ""
    said, error, fields = "", "", QUERY
    # Older drivers reject the whole query because of one unknown field.
    for fields in ((*QUERY, *STATE, RECOVERY), (*QUERY, *STATE), QUERY):
        said, error = ask("--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits")
        if _UNKNOWN_FIELD not in error:
            break
    # nvidia-smi prints "No devices were found" when the driver works but there is no GPU.
    if "No devices were found" in (said + error):
        return [], ""
    if error:
        return [], error
    try:
        return parse_gpus(said, fields), ""
    except ValueError as error:
        return [], str(error)


def read_all() -> dict[str, t.Any]:
    """Return everything that nvidia-smi reports: C(gpus), C(driver_version), C(cuda_version), and C(error) with C(fix)."""
    gpus, error = read_gpus()
    details: dict[str, t.Any] = {"driver_version": None, "cuda_version": None, "gpus": {}}
    reach: dict[int, dict[int, str]] = {}
    if gpus:
        said, error = ask("-q", "-x")
        try:
            details = details if error else parse_details(said)
        except ValueError as unreadable:
            error = str(unreadable)
    if len(gpus) > 1 and not error:
        # If this fails, the connections between GPUs are unknown; that is not an error of the driver.
        reach = parse_topology(ask("topo", "-m")[0])
    for gpu in gpus:
        ways = reach.get(gpu["index"], {})
        gpu.update(details["gpus"].get(gpu["uuid"], {}), connections=ways, nvlinks=nvlinks(ways))
    return {
        "gpus": gpus,
        "driver_version": details["driver_version"],
        "cuda_version": details["cuda_version"],
        "error": error,
        "fix": fix_of(error) if error else "",
    }


def ask(*arguments: str) -> tuple[str, str]:
    """Return the output of nvidia-smi, or an error."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return "", "nvidia-smi is not installed"
    try:
        process = subprocess.Popen([path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        return "", f"nvidia-smi gave no answer: {error}"
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        # A process that waits in the kernel cannot be killed, and is abandoned.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        return "", f"nvidia-smi gave no answer: {error}"
    if process.returncode != 0:
        how = describe(process.returncode) if signal_of(process.returncode) else f"failed with status {process.returncode}"
        return "", f"nvidia-smi {how}: {(out + err).strip()}"
    return out, ""


def fix_of(error: str) -> str:
    """Return the fix for a failing nvidia-smi. Its error messages come from NVML and have been stable for years."""
    if "version mismatch" in error:
        cause = "a driver update has replaced the libraries, but the old kernel module is still loaded"
        reload = "rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia; modprobe nvidia"
        return f"{cause}: reboot the host, or stop all programs that use the GPUs and load the new module ({reload})"
    if "communicate with the NVIDIA driver" in error:
        return "the kernel module is not loaded: see `dmesg | grep -i nvidia` and `dkms status`; after a kernel update rebuild the module, then reboot"
    if re.search(r"GPU is lost|device handle", error, re.IGNORECASE):
        return "a GPU has fallen off the bus: see `dmesg` for Xid 79, then reboot the host; if it happens again, check the GPU's power, cooling and slot"
    if "gave no answer" in error:
        return "the driver hangs: see `dmesg` for Xid messages; a reboot is the usual fix"
    return "run nvidia-smi on the host and fix its error; after a driver update a reboot is often necessary"


def gpu_fix(error: str, index: str) -> str:
    """Return the fix for one GPU with an C(error) from nvidia-smi."""
    reset = f"stop all programs that use it and reset it: nvidia-smi -pm 0 -i {index}; nvidia-smi --gpu-reset -i {index}; otherwise reboot the host"
    if re.search("lost", error, re.IGNORECASE):
        return "it has fallen off the bus: see `dmesg` for Xid 79, then reboot the host; if it happens again, check its power, cooling and slot"
    if re.search("reset", error, re.IGNORECASE):
        return f"see `dmesg` for Xid messages, {reset}"
    return f"see `dmesg` for Xid messages, reboot the host; or {reset}"


def read_log(text: str) -> ElementTree.Element:
    """Return the root of what C(nvidia-smi -q -x) prints. Raises ValueError for other text."""
    try:
        log = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"nvidia-smi -q -x printed no XML: {error}") from error
    if log.tag != "nvidia_smi_log":
        raise ValueError(f"nvidia-smi -q -x printed <{log.tag}> instead of its log")
    return log


def parse_details(text: str) -> dict[str, t.Any]:
    """Parse `nvidia-smi -q -x`: C(driver_version), C(cuda_version) and, by UUID, the C(gpus). Raises ValueError for other text.

    Memory is in bytes; values that nvidia-smi does not have ("N/A") are None.
    """
    log = read_log(text)
    gpus = {_known(gpu.findtext("uuid")) or gpu.get("id", ""): _details(gpu) for gpu in log.findall("gpu")}
    return {"driver_version": _known(log.findtext("driver_version")), "cuda_version": _known(log.findtext("cuda_version")), "gpus": gpus}


def _details(gpu: ElementTree.Element) -> dict[str, t.Any]:
    return {
        "bus_id": gpu.get("id"),
        "architecture": _known(gpu.findtext("product_architecture")),
        "persistence_mode": _known(gpu.findtext("persistence_mode")),
        "compute_mode": _known(gpu.findtext("compute_mode")),
        "memory_used_bytes": _bytes(gpu.findtext("fb_memory_usage/used")),
        "mig": {
            "mode": _known(gpu.findtext("mig_mode/current_mig")),
            "instances": [_instance(one) for one in gpu.findall("mig_devices/mig_device")],
        },
        "ecc": {
            "mode": _known(gpu.findtext("ecc_mode/current_ecc")),
            "uncorrected": _uncorrected(gpu.find("ecc_errors/volatile")),
        },
        "processes": [
            {
                "pid": _number(one.findtext("pid")),
                "type": _known(one.findtext("type")),
                "name": _known(one.findtext("process_name")),
                "memory_bytes": _bytes(one.findtext("used_memory")),
            }
            for one in gpu.findall("processes/process_info")
        ],
    }


def _instance(device: ElementTree.Element) -> dict[str, t.Any]:
    return {
        "index": _number(device.findtext("index")),
        "uuid": _known(device.findtext("uuid")),
        "gpu_instance": _number(device.findtext("gpu_instance_id")),
        "compute_instance": _number(device.findtext("compute_instance_id")),
        "memory_bytes": _bytes(device.findtext("fb_memory_usage/total")),
    }


def _uncorrected(errors: ElementTree.Element | None) -> int | None:
    """Uncorrectable ECC errors since the driver was loaded. Drivers have several counters for them."""
    counts = [] if errors is None else [_number(one.text) for one in errors if "uncorrectable" in one.tag]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def parse_topology(text: str) -> dict[int, dict[int, str]]:
    """Parse the matrix of `nvidia-smi topo -m`: the connection of each GPU to each other one. NV18 is eighteen NVLinks, SYS is across CPU sockets, …"""
    lines = [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    heading = next((cells for cells in lines if cells and cells[0] == "GPU0"), None)
    if heading is None:
        return {}
    columns = [cell for cell in heading if re.fullmatch(r"GPU\d+", cell)]
    found: dict[int, dict[int, str]] = {}
    for cells in lines:
        # A row begins with its GPU's name; the heading has no connections.
        if cells and re.fullmatch(r"GPU\d+", cells[0]) and cells is not heading:
            reach = dict(zip(columns, cells[1:]))
            found[int(cells[0][3:])] = {int(name[3:]): how for name, how in reach.items() if how != "X"}
    return found


def nvlinks(reach: t.Mapping[int, str]) -> dict[int, int]:
    """Return the number of NVLinks to each GPU that is connected by NVLinks."""
    return {index: int(how[2:]) for index, how in reach.items() if re.fullmatch(r"NV\d+", how)}


def _known(text: str | None) -> str | None:
    stripped = (text or "").strip()
    return None if stripped in ("", "N/A", "[N/A]", "Not Supported") else stripped


def _number(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdigit() else None


def _bytes(text: str | None) -> int | None:
    """Bytes of "81559 MiB"."""
    match = re.fullmatch(r"\s*(\d+)\s*MiB\s*", text or "")
    return int(match.group(1)) * MIB if match else None
