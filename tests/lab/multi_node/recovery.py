# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be true after each failure: a new generation on both hosts, the right answer, nothing of the previous generation, the rest untouched."""

from __future__ import annotations

import time

from lab import wait_until
from pair import Pair
from testinfra.host import Host

# Seconds in which a service is back, on processors that have other tests to run as well; what it takes is printed.
BACK = 180

# The command of vLLM and not its supervisor, which has it among its arguments.
API = "bin/python[0-9.]* /opt/inferops/releases/[^ ]*/bin/vllm serve"

# Processes of the service on the head and on the worker, by backend.
PROCESSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ray": (("gcs_server", "raylet/raylet", "VLLM::EngineCore", "ray::RayWorkerProc", API), ("raylet/raylet", "ray::RayWorkerProc")),
    "mp": (("VLLM::EngineCore", "VLLM::Worker_PP0", API), ("VLLM::Worker_PP1", API)),
}


def is_new(pair: Pair, before: dict[str, str]) -> bool:
    """Whether every unit runs, and in another run than before."""
    after = pair.runs()
    return set(after) == set(before) and all(
        after[unit].partition("/")[0] != before[unit].partition("/")[0] and not after[unit].endswith("/0") for unit in before
    )


def recovers(pair: Pair, right: str, before: dict[str, str], since: float, backend: str) -> float:
    """Wait for the next generation and its right answer; return the seconds since then. Nothing of the previous generation is left."""
    wait_until(lambda: pair.answers(right) and is_new(pair, before), BACK, f"it answers again; it reports: {pair.status()}", every=0.3)
    seconds = time.monotonic() - since
    wait_until(lambda: pair.status().startswith("serving on "), 60, f"it reports that: {pair.status()}")
    for host, words in zip((pair.head, pair.worker), PROCESSES[backend]):
        assert set(pair.counts(host, words).values()) == {1}, pair.counts(host, words)
    return seconds


def failures_kept(host: Host, unit: str = "vllm-pair") -> list[str]:
    """Directories of kept failures on a host."""
    return list(host.run("ls /var/lib/inferops/failures/%s", unit).stdout.split())
