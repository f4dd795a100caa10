# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes on GPUs of services: the service's own, those of others, and since when."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import processes

HERE = os.getpid()


def service(unit: str, name: str, gpus: list[int] | None) -> dict[str, Any]:
    return {"unit": unit, "service": name, "gpus": gpus}


QWEN = service("vllm-qwen.service", "qwen", [0])
RAY = [service("ray-head-big.service", "big", [0]), service("vllm-big.service", "big", [])]
CASES: dict[str, tuple[list[dict[str, Any]], str, str, str, bool]] = {
    "its own": ([QWEN], "vllm-qwen.service", "vllm", "C", False),
    "of another service": ([QWEN, service("vllm-b.service", "b", [1])], "vllm-b.service", "vllm", "C", True),
    "of a service on all GPUs": ([service("vllm-qwen.service", "qwen", None)], "vllm-qwen.service", "vllm", "C", False),
    "of Ray for the service": (RAY, "ray-head-big.service", "ray", "C", False),
    "of the service beside Ray": (RAY, "vllm-big.service", "vllm", "C", False),
    "of nobody's unit": ([QWEN], "", "python", "C", True),
    "that draws": ([QWEN], "", "Xorg", "G", False),
    "that draws and computes": ([QWEN], "", "game", "C+G", True),
    "of MPS": ([QWEN], "", "/usr/bin/nvidia-cuda-mps-server", "M+C", False),
    "on a GPU of no service": ([service("vllm-qwen.service", "qwen", [1])], "", "python", "C", False),
}


@pytest.mark.parametrize("what", CASES)
def test_others(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    services, unit, name, kind, is_other = CASES[what]
    monkeypatch.setattr(_host, "unit_of", lambda pid: unit)
    gpus = [{"index": 0, "processes": [{"pid": HERE, "name": name, "type": kind}]}]
    expected = [{"gpu": 0, "pid": HERE, "name": name, "unit": unit}] if is_other else []
    assert processes.others(gpus, services) == expected


def test_a_process_that_has_ended_is_left_out() -> None:
    assert processes.others([{"index": 0, "processes": [{"pid": 2**22 + 1, "name": "x", "type": "C"}]}], [QWEN]) == []


def test_when_they_started() -> None:
    (started,) = processes.started([HERE, 2**22 + 1])
    assert time.time() - 7200 < started <= time.time() + 1
