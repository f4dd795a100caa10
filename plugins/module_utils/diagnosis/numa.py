# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NUMA: whether a service runs and communicates near its GPUs.

Automatic NUMA balancing moves pages of running programs; the kernel's documentation (admin-guide/sysctl/kernel.rst) describes its cost, and NVIDIA's tuning
guides turn it off on hosts with GPUs.
"""

from __future__ import annotations

import glob
import os
import typing as t

from .. import _nvidia
from .context import Context
from .finding import Result, Unknown, warning
from .units import Unit


def check(context: Context) -> Result:
    """The nodes of each service's GPUs, CPUs and network interface, on a host with several nodes."""
    nodes = cpus_by_node(context)
    if len(nodes) < 2 or not context.units:
        return
    if context.text("/proc/sys/kernel/numa_balancing") not in ("", "0"):
        cause = "automatic NUMA balancing is on, which interrupts the engines to move their memory"
        yield warning("numa-balancing", cause, "sysctl kernel.numa_balancing=0  # for each boot: kernel_sysctl")
    gpus = gpu_nodes(context)
    if not gpus:
        yield Unknown("NUMA nodes of GPUs", "nvidia-smi reports no PCI addresses")
        return
    for unit in context.units:
        used = {gpus[index] for index in (unit.gpus if unit.gpus is not None else gpus) if index in gpus} - {-1}
        if used:
            yield from _cpus(context, unit, used, nodes)
            yield from _interface(context, unit, used)


def _cpus(context: Context, unit: Unit, used: set[int], nodes: t.Mapping[int, set[int]]) -> Result:
    pid = unit.get("MainPID")
    if not pid.isdigit() or pid == "0":
        return
    rows = [line.partition(":")[2].strip() for line in context.text(f"/proc/{pid}/status").splitlines() if line.startswith("Cpus_allowed_list:")]
    allowed = expand(rows[0]) if rows else set()
    near = {node for node, cpus in nodes.items() if allowed & cpus}
    if allowed and not used <= near:
        cause = f"its GPUs are on NUMA node {_list(used)}, and it may run on CPUs of node {_list(near)} only"
        yield warning("numa-cpus", cause, f"systemctl show --property=CPUAffinity,AllowedCPUs,NUMAMask {unit.name}", unit.service)


def _interface(context: Context, unit: Unit, used: set[int]) -> Result:
    name = context.of(unit.service).interface
    node = context.text(f"/sys/class/net/{name}/device/numa_node") if name and "/" not in name else ""
    if node.isdigit() and int(node) not in used:
        cause = f"the network interface {name} is on NUMA node {node}, and its GPUs are on node {_list(used)}"
        yield warning("numa-network", cause, "nvidia-smi topo -m", unit.service)


def cpus_by_node(context: Context) -> dict[int, set[int]]:
    """Return the CPUs of each NUMA node that has some."""
    found = {}
    for path in glob.glob(context.path("/sys/devices/system/node/node[0-9]*")):
        cpus = expand(context.text(f"/sys/devices/system/node/{os.path.basename(path)}/cpulist"))
        if cpus:
            found[int(os.path.basename(path)[4:])] = cpus
    return found


def gpu_nodes(context: Context) -> dict[int, int]:
    """Return the NUMA node of each GPU by its index; -1 where the firmware names none."""
    text, problem = _nvidia.ask("--query-gpu=index,pci.bus_id", "--format=csv,noheader")
    found = {}
    for line in text.splitlines() if not problem else []:
        index, _comma, address = line.partition(",")
        # nvidia-smi's domain has eight digits, that of /sys four.
        node = context.text(f"/sys/bus/pci/devices/{address.strip().lower()[-12:]}/numa_node")
        if index.strip().isdigit() and node.lstrip("-").isdigit():
            found[int(index)] = int(node)
    return found


def expand(text: str) -> set[int]:
    """Return the numbers of a list of the kernel: 0-3,8."""
    found: set[int] = set()
    for part in text.split(","):
        first, _dash, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def _list(numbers: t.Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
