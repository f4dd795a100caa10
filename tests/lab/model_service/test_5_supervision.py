# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service on one host is watched: whatever happens to its engine, it answers again without an operator, and what the engine waited for is kept."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine_misbehaviour import misbehave, misbehaving
from lab import ENVIRONMENT, Play, Unit, wait_until
from openai import OpenAI
from test_2_failures import answers, engine
from testinfra.host import Host

# Seconds from what happens until the next right answer. The small engine starts in one.
BOUND = 30
FAILURES = "/var/lib/inferops/failures/vllm-qwen3-235b"


@pytest.fixture(scope="module", autouse=True)
def serving(play: Callable[..., Play]) -> None:
    """The inventory's service; a silent engine is given up after seconds."""
    done = play("-e", "model_service_probe_interval=2", "-e", "model_service_probe_timeout=3", "-e", "model_service_liveness_timeout=8")
    assert done.status == 0, done.output


@pytest.fixture(autouse=True)
def without_failures(unit: Unit) -> None:
    """Each test finds the first failure of its own."""
    unit.host.run_expect([0], "rm -rf %s/*", FAILURES)


def kept(unit: Unit) -> str:
    """What is kept of the first failure."""
    return str(unit.host.check_output("cat %s/*/output.log", FAILURES))


def api_server(unit: Unit) -> str:
    """The process of the engine's server: the supervisor's child."""
    return str(unit.host.check_output("pgrep --parent %s", unit.main_pid))


def recovers(unit: Unit, client: OpenAI, name: str, act: Callable[[], object]) -> float:
    """Do something to a service; return the seconds until a new engine answers."""
    before, began = engine(unit), time.monotonic()
    act()
    wait_until(lambda: unit.host.run("ls -d /proc/%s", before).rc != 0, BOUND + 10, "the engine is ended")
    wait_until(lambda: answers(client, name), BOUND + 10, "it answers again")
    seconds = time.monotonic() - began
    wait_until(lambda: unit.show("StatusText").startswith("serving"), 10, f"its supervisor knows that: {unit.show('StatusText')}")
    return seconds


def test_its_status(unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    assert answers(client, service["name"])
    wait_until(lambda: unit.show("StatusText") == "serving, 0 running, 0 waiting", 15, "its requests are in the status")
    assert unit.show("Type") == "notify" and unit.host.check_output("ps -o args= -p %s", unit.main_pid).startswith("/usr/bin/python3 -EsB /opt/inferops/lib/")


def test_the_supervisor_is_small(unit: Unit) -> None:
    """Less than 20 MB of memory of its own, and next to no CPU time."""
    kilobytes = int(unit.host.check_output("awk '/^Pss_Anon/ {print $2}' /proc/%s/smaps_rollup", unit.main_pid))
    assert kilobytes < 20_000, f"{kilobytes} kB"


SIGNALS = {
    "engine stopped": ("-STOP", engine), "API server stopped": ("-STOP", api_server), "engine killed": ("-KILL", engine),
    "API server killed": ("-KILL", api_server), "supervisor killed": ("-KILL", lambda unit: unit.main_pid),
}


@pytest.mark.parametrize("what", SIGNALS)
def test_signals(unit: Unit, client: OpenAI, service: dict[str, Any], what: str) -> None:
    """Each process of the unit, stopped or killed."""
    signal, process = SIGNALS[what]
    seconds = recovers(unit, client, service["name"], lambda: unit.host.run_expect([0], f"kill {signal} {process(unit)}"))
    print(f"{what}: {seconds:.0f} s")
    assert seconds < BOUND
    if signal == "-STOP":
        assert "has been stopped (SIGSTOP) for 5 s" in kept(unit).splitlines()[0] and "most recent call first" in kept(unit)


def test_a_hang(host: Host, unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """/health answers 200 all the time. The status says since when there is no answer; the kept log has the stacks."""
    def hang() -> None:
        misbehave(host, hang=True, once=True)
        wait_until(lambda: "not answering since" in unit.show("StatusText"), 30, "the status says so", every=0.2)

    seconds = recovers(unit, client, service["name"], hang)
    misbehave(host)
    print(f"hang: {seconds:.0f} s")
    assert "is dead: no completion" in kept(unit).splitlines()[0] and "most recent call first" in kept(unit)
    assert unit.host.run("grep -r %s %s", service["api_key"], FAILURES).rc == 1


def test_an_error_of_a_gpu(host: Host, unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """It is in the log, and the process never ends: the engine is not given the time of a busy one."""
    error = "RuntimeError: CUDA error: an illegal memory access was encountered"
    seconds = recovers(unit, client, service["name"], lambda: misbehave(host, device_error=error, once=True))
    misbehave(host)
    print(f"error of a GPU: {seconds:.0f} s")
    assert seconds < BOUND and "after CUDA error: an illegal memory access was encountered" in kept(unit).splitlines()[0]


def test_a_reboot(host: Host, unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """The unit starts at boot, and nothing counts as a failure."""
    began = time.monotonic()
    subprocess.run(["docker", "restart", "--timeout=20", f"{ENVIRONMENT['LAB_NAME']}-lab-gpu1"], check=True, capture_output=True)
    wait_until(lambda: answers(client, service["name"]), 90, "it answers again")
    print(f"reboot: {time.monotonic() - began:.0f} s")
    state = json.loads(unit.host.check_output("cat /run/inferops-supervisor/vllm-qwen3-235b/state.json"))
    assert state["failed"] == 0 and unit.host.run("ls %s/*", FAILURES).rc != 0


def test_the_next_run_brings_its_settings_back(host: Host, play: Callable[..., Play], unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """A failure costs no change: the run after all of this restarts only because of its settings."""
    with misbehaving(host):
        done = play()
    assert done.status == 0, done.output
    assert answers(client, service["name"])
    assert [counts["changed"] for counts in play().recap.values()] == [0]
