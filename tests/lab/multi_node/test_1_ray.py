# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""On Ray: one failure after the other, and each time the service is back by itself with the right answer, in a time that is printed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from lab import ENVIRONMENT, ROOT, Scenario, wait_until
from openai import AuthenticationError, NotFoundError, OpenAI
from pair import PROMPT, Pair
from recovery import API, failures_kept, recovers


def test_it_serves(pair: Pair, right: str) -> None:
    """Ray's units and the engine's; each reports that the service serves. The answer is that of both ranks."""
    assert pair.units(pair.head) == ["ray-head-pair.service", "vllm-pair.service"]
    assert pair.units(pair.worker) == ["ray-worker-pair.service"]
    for host, unit in ((pair.head, "vllm-pair"), (pair.head, "ray-head-pair"), (pair.worker, "ray-worker-pair")):
        shown = host.check_output("systemctl show --value --property=ActiveState,StatusText %s", unit).split("\n")
        active, status = sorted(shown)
        # The engine's own unit has its requests beside.
        assert active == "active" and status.partition(", 0 running")[0] == "serving on multi-head, multi-worker"
    assert pair.complete() == right


def test_the_small_engine_refuses_what_vllm_refuses(pair: Pair) -> None:
    """A wrong key, another model's name, an unknown argument: otherwise its tests would show less than those of the real one."""
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=f"{pair.url}/v1", api_key="sk-other", max_retries=0).models.list()
    with pytest.raises(NotFoundError):
        pair.client.completions.create(model="another", prompt=PROMPT)
    assert pair.head.run("$(ls -d /opt/inferops/releases/vllm-*)/bin/vllm serve /nowhere --max-modellen=5").rc == 2


FAILURES: list[tuple[str, Callable[[Pair], None]]] = [
    ("engine killed", lambda pair: pair.kill(pair.head, "VLLM::EngineCore")),
    ("API server killed", lambda pair: pair.kill(pair.head, API)),
    ("Ray's rank killed on the worker", lambda pair: pair.kill(pair.worker, "ray::RayWorkerProc")),
    ("Ray killed on the worker", lambda pair: pair.kill(pair.worker, "raylet/raylet")),
    ("Ray paused on the worker", lambda pair: pair.kill(pair.worker, "raylet/raylet", "STOP")),
    ("Ray's control service killed on the head", lambda pair: pair.kill(pair.head, "gcs_server")),
    ("worker host rebooted", lambda pair: pair.reboot(pair.worker)),
    ("head host rebooted", lambda pair: pair.reboot(pair.head)),
    ("both rebooted, head first", lambda pair: pair.reboot(pair.head, pair.worker)),
]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(("failure", "inflict"), FAILURES, ids=[failure for failure, _inflict in FAILURES])
def test_it_comes_back(pair: Pair, right: str, table: dict[str, float], failure: str, inflict: Callable[[Pair], None]) -> None:
    """What was there before is gone, and the next right answer comes in time. The service beside is not touched."""
    before, beside = pair.runs(), pair.beside()
    table[f"ray | {failure}"] = recovers(pair, right, before, pair.inflict(inflict, right), "ray")
    assert failure.startswith(("head host", "both")) or pair.beside() == beside, "the service beside was restarted"


def shown(scenario: Scenario) -> str:
    """What playbooks/status.yml shows."""
    command = replace(scenario, playbook="playbooks/status.yml").command()
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, timeout=120, check=True).stdout


@pytest.mark.usefixtures("serving")
def test_a_cut_network(pair: Pair, right: str, table: dict[str, float], scenario: Scenario) -> None:
    """Both sides report which node is missing and since when, and nothing runs on. Counted from when it is whole again."""
    before = pair.runs()

    def see_the_status() -> None:
        assert "degraded: node multi-worker missing since" in " ".join(shown(scenario).split())
        # While systemd waits to start the unit again, it has no words at all.
        shows = "systemctl show --value --property=StatusText ray-worker-pair"
        wait_until(lambda: "missing since" in pair.worker.check_output(shows), 60, "the worker reports which node is missing")

    whole = pair.outlasts_a_cut(right, 20, ((pair.worker, "raylet/raylet"), (pair.head, "VLLM::EngineCore")), see_the_status)
    table["ray | network cut (from when it is whole)"] = recovers(pair, right, before, whole, "ray")


def test_the_first_failure_is_kept(pair: Pair) -> None:
    """A log for each time that it fell, and none for the tries between."""
    assert failures_kept(pair.head)
    assert "EngineCore" in pair.head.check_output("cat /var/lib/inferops/failures/vllm-pair/*/output.log")


def test_nothing_is_left_of_previous_generations(pair: Pair) -> None:
    """Ray's directory has one session; each recovery above has counted the processes."""
    assert len(pair.head.check_output("ls -d /var/lib/inferops/ray/pair/session_2*").split()) == 1


@pytest.mark.usefixtures("serving")
def test_a_rank_that_is_gone_shows(pair: Pair, right: str, table: dict[str, float]) -> None:
    """A right answer shows that all ranks are alive: with one of them paused, none comes, and the liveness probe finds that."""
    before = pair.runs()
    pair.kill(pair.worker, "ray::RayWorkerProc", "STOP")
    began = time.monotonic()
    assert not pair.answers(right)
    wait_until(lambda: "degraded" in pair.status() or pair.runs() != before, 60, "the liveness probe finds it")
    table["ray | Ray's rank paused on the worker"] = recovers(pair, right, before, began, "ray")
