# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors injected into a running service: it comes back by itself or by the next run, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from engine_misbehaviour import misbehaving
from lab import Play, Unit, wait_until
from openai import OpenAI, OpenAIError
from testinfra.host import Host


def answers(client: OpenAI, name: str) -> bool:
    """Whether the service completes a request; /health alone is not enough."""
    try:
        done = client.completions.create(model=name, prompt="Say one word.", max_tokens=4, timeout=5)
    except OpenAIError:
        return False
    return bool(done.choices[0].text)


def engine(unit: Unit) -> str:
    """The process of the service's engine."""
    pids = " ".join(str(pid) for pid, _user in unit.processes())
    # Others may end meanwhile.
    found = unit.host.run(f"ps -o pid=,args= -p '{pids}'").stdout.splitlines()
    [pid] = [line.split()[0] for line in found if line.split()[1].startswith("VLLM::EngineCore")]
    return pid


@pytest.fixture(scope="module", autouse=True)
def serving(play: Callable[..., Play]) -> None:
    """The inventory's service, after all that was done to it."""
    done = play()
    assert done.status == 0, done.output


def test_site_restarts_what_hangs(host: Host, play: Callable[..., Play], unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """No request is answered, /health says 200 and the unit is active for ever. A run sees it, restarts it once, and ends well."""
    before = unit.main_pid
    with misbehaving(host, hang=True):
        assert not answers(client, service["name"])
    assert unit.show("ActiveState") == "active"
    done = play("-e", "verify_timeout=3", "-e", "model_service_stall_timeout=3")
    assert done.status == 0, done.output
    assert f"{service['name']} was restarted: no answer and no step of the engine for 3 s; it passed the health gate" in done.said
    assert unit.main_pid != before and answers(client, service["name"])


@pytest.mark.parametrize(
    ("error", "command"),
    [("the engine is killed", "kill -KILL {engine}"), ("the API server is killed", "kill -KILL {main}"), ("the unit's processes are killed", "")],
    ids=["engine", "server", "all"],
)
def test_systemd_starts_it_again(unit: Unit, client: OpenAI, service: dict[str, Any], error: str, command: str) -> None:
    """Whatever dies: there is a new process of each kind, and it answers."""
    before, killed = unit.main_pid, engine(unit)
    unit.host.run_expect([0], command.format(engine=killed, main=before) or f"systemctl kill --signal=SIGKILL {unit.name}")
    wait_until(lambda: unit.main_pid not in (before, "0"), 60, f"{error}, and systemd starts the service again")
    wait_until(lambda: answers(client, service["name"]), 60, "the service answers again")
    assert engine(unit) != killed and unit.host.run("ls -d /proc/%s", killed).rc != 0, "the engine has outlived its server"


def test_an_engine_that_ignores_its_stop(host: Host, unit: Unit) -> None:
    """Ten seconds before TimeoutStopSec (35) the supervisor kills it: nothing of it is left."""
    with misbehaving(host, ignore_sigterm=True):
        began = time.monotonic()
        unit.host.run_expect([0], "systemctl stop %s", unit.name)
        assert 20 < time.monotonic() - began < 35
    assert unit.host.run("pgrep --list-full --uid %s", unit.show("User")).stdout == ""


def test_stop_leaves_nothing(play: Callable[..., Play], unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """The next run starts what was stopped. After a stop no process of the account and no shared memory remain."""
    assert play().status == 0 and answers(client, service["name"])
    unit.host.run_expect([0], "systemctl stop %s", unit.name)
    assert unit.host.run("pgrep --list-full --uid %s", unit.show("User")).stdout == ""
    assert unit.host.run("find /dev/shm -user %s", unit.show("User")).stdout == ""
    assert unit.show("Result") == "success", unit.journal()


def test_site_starts_what_was_stopped(play: Callable[..., Play], unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """The next run finds it stopped, starts it and sees it through the gate; the one after finds nothing to do."""
    done = play()
    assert done.status == 0, done.output
    assert unit.show("ActiveState") == "active" and answers(client, service["name"])
    done = play()
    assert [counts["changed"] for counts in done.recap.values()] == [0] * len(done.recap), done.output
