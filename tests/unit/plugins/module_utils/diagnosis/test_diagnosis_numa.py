# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NUMA nodes of GPUs, CPUs and network interfaces."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import numa
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context, Known
from diagnosis_builders import context, names, put, unit


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two nodes with four CPUs and a GPU each; eth1 is on node 1."""
    for node, cpus in ((0, "0-3"), (1, "4-7")):
        put(tmp_path, f"/sys/devices/system/node/node{node}/cpulist", cpus)
        put(tmp_path, f"/sys/bus/pci/devices/0000:0{node + 1}:00.0/numa_node", str(node))
    put(tmp_path, "/sys/class/net/eth1/device/numa_node", "1")
    put(tmp_path, "/proc/sys/kernel/numa_balancing", "0")
    said = "0, 00000000:01:00.0\n1, 00000000:02:00.0\n"
    monkeypatch.setattr(numa._nvidia, "ask", lambda *arguments: (said, ""))
    return tmp_path


def of(host: Path, gpus: list[int] | None, allowed: str, interface: str = "") -> Context:
    put(host, "/proc/7/status", f"Name:\tpython3\nCpus_allowed_list:\t{allowed}\n")
    return context(host, unit(gpus=gpus, MainPID="7"), known={"q": Known(interface=interface)})


CASES = [
    ([0], "0-7", "", []),
    ([0], "0-3", "", []),
    ([0], "4-7", "", ["numa-cpus"]),
    (None, "4-7", "", ["numa-cpus"]),
    ([0, 1], "0,7", "", []),
    ([0], "0-7", "eth1", ["numa-network"]),
    ([1], "0-7", "eth1", []),
    ([1], "0-7", "../eth1", []),
]


@pytest.mark.parametrize(("gpus", "allowed", "interface", "expected"), CASES)
def test_services(host: Path, gpus: list[int] | None, allowed: str, interface: str, expected: list[str]) -> None:
    assert names(numa.check(of(host, gpus, allowed, interface))) == expected


def test_balancing(host: Path) -> None:
    put(host, "/proc/sys/kernel/numa_balancing", "1")
    assert names(numa.check(of(host, [0], "0-7"))) == ["numa-balancing"]
    # With a single node there is nothing to move.
    (host / "sys/devices/system/node/node1/cpulist").write_text("")
    assert names(numa.check(of(host, [0], "4-7"))) == []


def test_without_addresses_of_gpus(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numa._nvidia, "ask", lambda *arguments: ("", "nvidia-smi is not installed"))
    assert names(numa.check(of(host, [0], "4-7"))) == ["?NUMA nodes of GPUs"]
