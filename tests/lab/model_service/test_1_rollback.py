# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Upgrades and changes: those that serve stay, those that do not are taken back; and a second service beside it all.

The tests run in this order. What fails fails at run time only: the release imports and parses, the arguments are ones that the parser takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from lab import GROUP, WITH_SMALL_ENGINE, Unit, wait_until
from services import answer, kept
from testinfra.host import Host

VARIABLES = WITH_SMALL_ENGINE.inventories[-1] / "group_vars" / f"{GROUP}.yml"
LARGE: dict[str, Any] = {**yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["model_services"][0], "gpus": [0]}
SMALL: dict[str, Any] = {"name": "qwen3-dev", "model": "qwen3-0.6b", "port": 8002, "gpus": [1], "vllm_args": {"max_model_len": 2048}}
UPGRADED = {**LARGE, "vllm_version": "0.32.0.post1+cpu.small"}
# Its engine dies at every start, and only there.
BROKEN = {**UPGRADED, "vllm_requirements": ["lab-broken-engine==1.0"]}
# The parser takes it. A cache of one block has no room for a request of the full context, which the engine finds out at its start.
WRONG = {**SMALL, "vllm_args": {"max_model_len": 2048, "num_gpu_blocks_override": 1}}
# How the engine of one service misbehaves (lab/small_engine/small_engine/misbehaviour.py), beside another that does not.
SLOW = "/run/slow-engine.json"
SECRETS = [LARGE["api_key"], *LARGE["secret_environment"].values()]

large = pytest.fixture(scope="module", name="large")(lambda host: Unit(host, "vllm-qwen3-235b.service"))
small = pytest.fixture(scope="module", name="small")(lambda host: Unit(host, "vllm-qwen3-dev.service"))


def plan(*services: dict[str, Any]) -> dict[str, Any]:
    """Variables of a run that serves these."""
    return {"model_services": list(services)}


def test_upgrade(host: Host, play: Callable[..., Any], large: Unit, addresses: dict[str, str]) -> None:
    """Another vLLM beside the running one, and a new service; both answer from outside, and their states are kept for root alone."""
    before = kept(host, "qwen3-235b")["release"]
    done = play(variables=plan(UPGRADED, SMALL))
    assert done.status == 0, done.output
    now = kept(host, "qwen3-235b")["release"]
    assert now.startswith("vllm-0.32.0.post1-") and now in large.show("ExecStart") and before != now
    assert host.file(f"/opt/inferops/releases/{before}/release.json").exists
    assert kept(host, "qwen3-dev")["release"] == before
    assert answer(addresses, UPGRADED) and answer(addresses, SMALL)
    for name in ("qwen3-235b", "qwen3-dev"):
        file = host.file(f"/var/lib/inferops/served/{name}.json")
        assert (file.mode, file.user, file.group) == (0o600, "root", "root")


def test_then_nothing_is_left_to_do(play: Callable[..., Any], large: Unit, small: Unit) -> None:
    """Neither engine is restarted by a second run."""
    before = large.main_pid, small.main_pid
    done = play(variables=plan(UPGRADED, SMALL))
    assert [counts["changed"] for counts in done.recap.values()] == [0] * len(done.recap), done.output
    assert (large.main_pid, small.main_pid) == before


def test_failed_upgrade_goes_back(host: Host, play: Callable[..., Any], large: Unit, small: Unit, addresses: dict[str, str]) -> None:
    """Unit, environment and release are the former ones, it answers, the run fails with the engine's own words, and nobody else was restarted."""
    before, other = kept(host, "qwen3-235b"), small.main_pid
    done = play("--diff", variables=plan({**BROKEN, "secret_environment": {"LAB_SECRET": "changed-77"}}, SMALL))
    said = done.said
    assert done.status != 0
    assert "RuntimeError: the engine of this release is broken, as the lab wanted it" in said, done.output
    assert f"rolled back to its last known good state, release {before['release']}" in said and "is healthy again" in said, done.output
    assert [secret for secret in [*SECRETS, "changed-77"] if secret in done.output] == []
    assert kept(host, "qwen3-235b") == before
    assert host.file(before["unit_file"]).content_string == before["unit_text"]
    assert host.file(before["environment_file"]).content_string == before["environment_text"]
    assert (large.show("ActiveState"), large.show("NeedDaemonReload"), large.show("UnitFileState")) == ("active", "no", "enabled")
    assert before["release"] in large.show("ExecStart") and answer(addresses, UPGRADED)
    assert small.main_pid == other != "0"


def test_killed_between_switch_and_gate(host: Host, killed_play: Callable[..., str], small: Unit) -> None:
    """The run dies when the new files run already: what served before is still known."""
    before = kept(host, "qwen3-dev")
    killed_play(lambda: "num-gpu-blocks-override" in small.show("ExecStart"), "the new unit is in effect", variables=plan(UPGRADED, WRONG))
    assert kept(host, "qwen3-dev") == before
    wait_until(lambda: small.show("NRestarts") != "0" or small.show("SubState") == "auto-restart", 120, "the new arguments fail at run time")


def test_the_next_run_takes_it_back(host: Host, play: Callable[..., Any], large: Unit, small: Unit, addresses: dict[str, str]) -> None:
    """The same wrong plan again, which finds a service that falls and falls: it is tried, and goes back to what served before the dead run."""
    before, other = kept(host, "qwen3-dev"), large.main_pid
    done = play(variables=plan(UPGRADED, WRONG))
    said = done.said
    assert done.status != 0 and "To serve at least one request with the models's max seq len (2048)" in said and "is healthy again" in said, done.output
    assert host.file(before["unit_file"]).content_string == before["unit_text"]
    assert answer(addresses, SMALL) and large.main_pid == other


def test_never_served_is_not_started_for_ever(host: Host, play: Callable[..., Any], large: Unit, small: Unit) -> None:
    """A new service with nothing to go back to is stopped; together with the corrected plan of another, which goes forward."""
    never, other = {**WRONG, "name": "never", "port": 8003, "gpus": [2]}, large.main_pid
    done = play(variables=plan(UPGRADED, {**SMALL, "vllm_args": {"max_model_len": 1024}}, never))
    said = done.said
    assert done.status != 0 and "it has never passed the health gate on this host. It was stopped and disabled" in said, done.output
    unit = Unit(host, "vllm-never.service")
    assert unit.main_pid == "0" and unit.show("SubState") != "auto-restart" and unit.show("UnitFileState") == "disabled"
    assert "--max-model-len=1024" in kept(host, "qwen3-dev")["unit_text"] and "--max-model-len=1024" in small.show("ExecStart")
    assert large.main_pid == other


def test_a_refused_argument_touches_nothing(play: Callable[..., Any], small: Unit) -> None:
    """What the release's own parser refuses, though the plan takes it, never gets as far as a restart."""
    before = small.main_pid
    done = play(variables=plan(UPGRADED, {**SMALL, "vllm_args": {"max_model_len": 1024, "hf_overrides": "{not json"}}))
    said = done.said
    assert done.status != 0 and "--hf-overrides" in said and "No service was touched" in said, done.output
    assert small.main_pid == before != "0"


def test_a_failed_change_goes_back_while_another_starts(
    host: Host, play: Callable[..., Any], large: Unit, small: Unit, addresses: dict[str, str],
) -> None:
    """Of two services that change, the second fails: it answers again before the first, which takes long, has started. That one keeps its change."""
    before = kept(host, "qwen3-dev")
    slow = {**UPGRADED, "environment": {"SMALL_ENGINE_MISBEHAVIOUR": SLOW}}
    host.run_expect([0], "printf %%s %s > %s && chmod 644 %s", json.dumps({"start_delay": 45}), SLOW, SLOW)
    try:
        done = play(variables=plan(slow, WRONG))
    finally:
        host.run_expect([0], "rm %s", SLOW)
    said = done.said
    assert done.status != 0 and done.output.count("fatal: [") == 1, done.output
    assert "Service qwen3-dev failed the health gate" in said and "is healthy again" in said and "Service qwen3-235b failed" not in said, done.output
    since = {unit.name: int(unit.show("ActiveEnterTimestampMonotonic")) / 1e6 for unit in (small, large)}
    print(f"the service that failed was back {since[large.name] - since[small.name]:.0f} s before the other had started")
    assert since[small.name] < since[large.name], done.output
    assert kept(host, "qwen3-dev") == before and host.file(before["unit_file"]).content_string == before["unit_text"]
    assert SLOW in kept(host, "qwen3-235b")["unit_text"] and SLOW in large.show("Environment")
    assert answer(addresses, slow) and answer(addresses, SMALL)


def test_removed_with_its_record(host: Host, play: Callable[..., Any]) -> None:
    """Absent services leave neither record nor unit; the large one goes back to the inventory's version, which is a change like any other."""
    gone = [{"name": name, "state": "absent"} for name in ("qwen3-dev", "never")]
    done = play(variables=plan(LARGE, *gone))
    assert done.status == 0, done.output
    # Nor the states before it.
    assert set(host.check_output("ls /var/lib/inferops/served").split()) <= {"qwen3-235b.json", "qwen3-235b.previous"}
    assert host.run("systemctl cat vllm-qwen3-dev.service").rc != 0
