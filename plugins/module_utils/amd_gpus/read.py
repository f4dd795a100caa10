# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the AMD GPUs of a host: from amd-smi, from rocm-smi where that fails or lacks, from the kernel where both do."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import typing as t

from .. import _reading
from .._exit_status import describe, signal_of
from . import amd_smi, devices, kfd, rocm_smi, values

ROCM = "/opt/rocm"
# A driver in trouble can hang the tools for minutes.
SECONDS = 60
MOST_BYTES = 16 * 1024 * 1024

_MODULE = "/sys/module/amdgpu"
_PCI = "/sys/bus/pci/devices"
_AMD, _ACCELERATOR = "0x1002", "0x1200"
# amd-smi without a driver or a GPU; rocm-smi then prints a warning and no JSON.
_NOTHING = re.compile(r"Unable to detect any GPU devices|driver not initialized|No JSON data to report|No AMD GPUs specified", re.IGNORECASE)


def read() -> dict[str, t.Any]:
    """Return C(gpus), the C(source) that reported them, C(warnings) about sources that failed, the C(error) with its C(fix) where GPUs are unknown,
    C(rocm_version), the C(device_groups) that may open the devices, and C(closed_devices), which root alone may open."""
    gpus: list[values.Gpu] = []
    source, problems = "", []
    for name, query_it in (("amd-smi", _from_amd_smi), ("rocm-smi", _from_rocm_smi), ("kfd", lambda: (kfd.read(), ""))):
        gpus, problem = query_it()
        problems += [problem] if problem else []
        if gpus:
            source = name
            break
    error, fix = "", ""
    if not gpus:
        # Without a loaded module there is nothing to describe, whatever the tools print.
        error, fix = (problems[0], _fix(problems[0])) if problems else _unloaded()
    names, closed = devices.groups() if gpus else ([], [])
    return {
        "gpus": gpus, "source": source, "warnings": problems if gpus else [], "error": error, "fix": fix,
        "rocm_version": rocm_version(ROCM) if gpus or error else "", "device_groups": names, "closed_devices": closed,
    }


def rocm_version(root: str) -> str:
    """Return the version of the ROCm in /opt/rocm, which the wheels of vLLM load their libraries from; empty without one."""
    match = re.match(r"\s*(\d+\.\d+(?:\.\d+)?)", _reading.read_text(os.path.join(root, ".info", "version")))
    return match[1] if match else ""


def _from_amd_smi() -> tuple[list[values.Gpu], str]:
    stdout, problem = "", ""
    for arguments in amd_smi.STATIC:
        stdout, problem = query(amd_smi.PROGRAM, *arguments)
        if not problem or "unrecognized arguments" not in problem:
            break
    if problem or not stdout:
        return [], problem
    # Without the list the KFD nodes are unknown; that is no error of the driver.
    listed = query(amd_smi.PROGRAM, *amd_smi.LIST)[0]
    try:
        return amd_smi.parse(stdout, listed), ""
    except ValueError as error:
        return [], str(error)


def _from_rocm_smi() -> tuple[list[values.Gpu], str]:
    stdout, problem = query(rocm_smi.PROGRAM, *rocm_smi.QUERY)
    if problem or not stdout:
        return [], problem
    try:
        return rocm_smi.parse(stdout), ""
    except ValueError as error:
        return [], str(error)


def query(program: str, *arguments: str) -> tuple[str, str]:
    """Return a tool's output and an error. Both are empty where it is not installed or finds neither driver nor GPU."""
    path = shutil.which(program) or shutil.which(program, path=os.path.join(ROCM, "bin"))
    if path is None:
        return "", ""
    try:
        done = subprocess.run([path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"{program} gave no answer: {error}"
    stdout, stderr = (text[:MOST_BYTES].decode(errors="replace") for text in (done.stdout, done.stderr))
    if _NOTHING.search(stderr) or _NOTHING.search(stdout[:1000]):
        return "", ""
    if done.returncode != 0:
        how = describe(done.returncode) if signal_of(done.returncode) else f"failed with status {done.returncode}"
        return "", f"{program} {how}: {(stderr + stdout).strip()[:300]}"
    return stdout, ""


def _unloaded() -> tuple[str, str]:
    """The error that an accelerator is there and its kernel module is not loaded; empty on other hosts."""
    if os.path.isdir(_MODULE) or not accelerators(_PCI):
        return "", ""
    why = f"the host has {accelerators(_PCI)} AMD accelerators on the PCI bus, and the kernel module amdgpu is not loaded"
    return why, "install AMD's driver (amdgpu-dkms), then `modprobe amdgpu`; see `dmesg | grep -i amdgpu` and `dkms status`"


def accelerators(folder: str) -> int:
    """Return how many accelerators of AMD (Instinct) are on the PCI bus."""
    return sum(
        1 for path in glob.glob(os.path.join(folder, "*"))
        if _reading.read_text(os.path.join(path, "vendor")).strip() == _AMD and _reading.read_text(os.path.join(path, "class")).startswith(_ACCELERATOR)
    )


def _fix(error: str) -> str:
    if "gave no answer" in error:
        return "the driver hangs: see `dmesg | grep -i amdgpu`; a reboot is the usual fix"
    return "run the program on the host and fix its error: see `dmesg | grep -i amdgpu`; after an update of the driver reboot the host"
