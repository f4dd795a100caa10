# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes with real engines: a service on Transformers beside vLLM, changes of both that fail and are taken back, and the removal of one.

The tests run in this order on a host whose service was stopped. What fails fails at run time only: the release imports and parses, the arguments
are ones that the parser takes. molecule/model_service has every way of failing, with an engine that starts in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab import Unit
from services import answer, kept
from testinfra.host import Host

SMALL: dict[str, Any] = {"name": "qwen3-dev", "model": "qwen3-0.6b", "engine": "transformers", "port": 8002, "gpus": [1]}
# The parser takes any word for a type; the server does not.
WRONG_TYPE = {**SMALL, "transformers_args": {"dtype": "float99"}}

small = pytest.fixture(scope="module", name="small")(lambda host: Unit(host, "vllm-qwen3-dev.service"))


@pytest.fixture(scope="module", name="large")
def _large(service: dict[str, Any]) -> dict[str, Any]:
    """The inventory's service, which leaves room for another."""
    return {**service, "gpus": [0]}


@pytest.fixture(scope="module", name="broken")
def _broken(large: dict[str, Any]) -> dict[str, Any]:
    """Another release, whose engine dies at every start, and only there; its processes are spawned, as vLLM has it."""
    return {**large, "vllm_version": "0.32.0.post1+cpu", "vllm_requirements": ["lab-broken-engine==1.0"], "environment": {"LAB_FORK": None}}


def test_a_stopped_service_starts_and_another_comes(
    host: Host, play: Callable[..., Any], unit: Unit, small: Unit, large: dict[str, Any], addresses: dict[str, str],
) -> None:
    """The run starts what was stopped and a service on Transformers beside it; both answer, and their states are kept for root alone."""
    assert unit.main_pid == "0"
    done = play(variables={"model_services": [large, SMALL]})
    assert done.status == 0, done.output
    assert "does not check API keys" in done.said
    assert kept(host, "qwen3-dev")["release"].startswith("transformers-")
    assert answer(addresses, large) and answer(addresses, SMALL)
    for name in ("qwen3-235b", "qwen3-dev"):
        file = host.file(f"/var/lib/inferops/served/{name}.json")
        assert (file.mode, file.user, file.group) == (0o600, "root", "root")


def test_then_nothing_is_left_to_do(play: Callable[..., Any], unit: Unit, small: Unit, large: dict[str, Any]) -> None:
    """A second run right after reports nothing to do, and restarts neither engine."""
    before = unit.main_pid, small.main_pid
    done = play(variables={"model_services": [large, SMALL]})
    assert [counts["changed"] for counts in done.recap.values()] == [0] * len(done.recap), done.output
    assert (unit.main_pid, small.main_pid) == before


def test_failed_changes_go_back(
    host: Host, play: Callable[..., Any], unit: Unit, small: Unit, large: dict[str, Any], broken: dict[str, Any], addresses: dict[str, str],
) -> None:
    """Unit, environment and release of both are the former ones, they answer, and the run fails with each engine's own words."""
    before = {name: kept(host, name) for name in ("qwen3-235b", "qwen3-dev")}
    done = play("--diff", variables={"model_services": [{**broken, "secret_environment": {"LAB_SECRET": "changed-77"}}, WRONG_TYPE]})
    said = done.said
    assert done.status != 0
    assert "RuntimeError: the engine of this release is broken, as the lab wanted it" in said, done.output
    assert "ValueError: Unsupported dtype: 'float99'" in said, done.output
    assert f"rolled back to its last known good state, release {before['qwen3-235b']['release']}" in said, done.output
    assert [name for name in before if f"Service {name} failed the health gate" not in said] == [] and said.count("is healthy again") >= 2, done.output
    assert [secret for secret in [large["api_key"], *large["secret_environment"].values(), "changed-77"] if secret in done.output] == []
    for name, found in (("qwen3-235b", unit), ("qwen3-dev", small)):
        assert kept(host, name) == before[name]
        assert host.file(before[name]["unit_file"]).content_string == before[name]["unit_text"]
        assert host.file(before[name]["environment_file"]).content_string == before[name]["environment_text"]
        assert (found.show("ActiveState"), found.show("NeedDaemonReload"), found.show("UnitFileState")) == ("active", "no", "enabled")
        assert before[name]["release"] in found.show("ExecStart")
    assert answer(addresses, large) and answer(addresses, SMALL)


def test_a_refused_argument_touches_nothing(play: Callable[..., Any], small: Unit, large: dict[str, Any]) -> None:
    """What the parser of Transformers refuses never gets as far as a restart."""
    before = small.main_pid
    done = play(variables={"model_services": [large, {**SMALL, "transformers_args": {"dtyp": "float32"}}]})
    said = done.said
    assert done.status != 0 and "No such option '--dtyp'" in said and "No service was touched" in said, done.output
    assert small.main_pid == before != "0"


def test_removed_with_its_record(host: Host, play: Callable[..., Any], large: dict[str, Any]) -> None:
    """An absent service leaves neither record nor unit."""
    done = play(variables={"model_services": [large, {"name": "qwen3-dev", "state": "absent"}]})
    assert done.status == 0, done.output
    # Nor the states before it.
    assert set(host.check_output("ls /var/lib/inferops/served").split()) == {"qwen3-235b.json", "qwen3-235b.previous"}
    assert host.run("systemctl cat vllm-qwen3-dev.service").rc != 0
