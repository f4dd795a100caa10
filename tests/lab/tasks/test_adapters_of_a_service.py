# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LoRA adapters of a running service: added, replaced and removed without a restart, and none of it by a request."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from conftest import services
from lab import ROOT, Play, Scenario, Unit
from openai import OpenAI
from testinfra.host import Host

REPO, BASE = "lab/adapters", "HuggingFaceTB/SmolLM2-135M"
PROMPT = "In the morning the children"


def _maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_adapter", ROOT / "tests" / "tools" / "make_adapter.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", name="commits")
def _commits() -> list[str]:
    """Two adapters in the mirror, and one of a rank that the engine does not take."""
    make = _maker().make
    return [make(ROOT / ".lab" / "models", REPO, BASE, seed, rank) for seed, rank in ((1, 8), (2, 8), (3, 32))]


Apply = Callable[..., Play]


@pytest.fixture(scope="module", name="apply")
def _apply(play: Callable[..., Play]) -> Iterator[Apply]:
    """Runs site.yml with these revisions as adapters of the service base, by name."""

    def apply(*arguments: str, more: Any = None, **revisions: str) -> Play:
        adapters = {name: {"repo": REPO, "revision": revision} for name, revision in revisions.items()}
        found = [{**service, **({"adapters": adapters, **(more or {})} if service["name"] == "base" else {})} for service in services()]
        return play(*arguments, variables={"model_services": found})

    yield apply
    assert apply().status == 0


def listed(client: OpenAI) -> list[str]:
    return [model.id for model in client.models.list()]


def say(client: OpenAI, model: str) -> str:
    return client.completions.create(model=model, prompt=PROMPT, max_tokens=20, temperature=0).choices[0].text


def test_the_first_state(client_of: Callable[[str], OpenAI], host: Host) -> None:
    """The inventory has adapters: {}, so the engine runs with LoRA and without adapters."""
    assert listed(client_of("base")) == ["base"]
    assert json.loads(host.check_output("cat /etc/inferops/adapters/base.json")) == {"adapters": {}}


def test_adapters_come_and_go_without_a_restart(client_of: Callable[[str], OpenAI], host: Host, apply: Apply, commits: list[str]) -> None:
    client, unit = client_of("base"), Unit(host, "vllm-base.service")
    before, pid, base = unit.show("InvocationID"), unit.main_pid, say(client, "base")
    done = apply(one=commits[0], two=commits[1])
    assert done.status == 0, done.output
    assert sorted(listed(client)) == ["base", "one", "two"], unit.journal()
    first, second = say(client, "one"), say(client, "two")
    assert len({base, first, second}) == 3 and say(client, "base") == base
    assert "with adapters one, two" in done.said, done.output

    # Another revision under the same name, and one that is gone.
    done = apply(one=commits[1])
    assert done.status == 0, done.output
    assert sorted(listed(client)) == ["base", "one"] and say(client, "one") == second
    with pytest.raises(openai.NotFoundError):
        say(client, "two")
    assert (unit.show("InvocationID"), unit.main_pid) == (before, pid)


def test_a_second_run_changes_nothing(apply: Apply, commits: list[str]) -> None:
    done = apply(one=commits[1])
    assert done.status == 0 and all(counts["changed"] == 0 for counts in done.recap.values()), done.output


def test_status_names_them(play: Callable[..., Play], scenario: Scenario, tmp_path: Path) -> None:
    output = tmp_path / "status.json"
    assert play(scenario=replace(scenario, playbook="playbooks/status.yml"), variables={"status_output": str(output)}).status == 0
    found = {service["service"]: service["adapters"] for service in json.loads(output.read_text(encoding="utf-8"))["services"]}
    assert found["base"] == ["one"] and found["embed"] == []


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters", "/adapters/one"])
def test_no_request_loads_one(client_of: Callable[[str], OpenAI], path: str) -> None:
    client = client_of("base")
    root = str(client.base_url).removesuffix("/v1/")
    body = {"lora_name": "x", "lora_path": "/tmp", "name": "x", "src": "/tmp"}
    with pytest.raises(openai.NotFoundError):
        client.post(f"{root}{path}", body=body, cast_to=str)


@pytest.mark.parametrize("model", ["../base", "/etc/inferops/adapters", "one/", REPO])
def test_a_name_is_no_path(client_of: Callable[[str], OpenAI], model: str) -> None:
    with pytest.raises(openai.NotFoundError):
        say(client_of("base"), model)


def test_the_service_cannot_plant_one(host: Host) -> None:
    for command in ("touch /etc/inferops/adapters/x", "tee /etc/inferops/adapters/base.json"):
        assert host.run(f"runuser -u inferops-base -- {command} < /dev/null").failed


def test_the_plan_refuses_a_rank_that_is_too_high(apply: Apply, commits: list[str]) -> None:
    done = apply(one=commits[2])
    assert done.status != 0 and "max_lora_rank to 32" in done.said, done.output


def test_an_adapter_that_the_engine_refuses(client_of: Callable[[str], OpenAI], host: Host, apply: Apply, commits: list[str]) -> None:
    """Where the plan cannot know the rank: the run fails with the engine's reason, and the former revision stays."""
    client, unit = client_of("base"), Unit(host, "vllm-base.service")
    before, said = unit.show("InvocationID"), say(client, "one")
    done = apply("-e", "plan_lookup=false", more={"task": "completion"}, one=commits[2])
    assert done.status != 0 and "LoRA rank 32 is greater than max_lora_rank 16" in done.said, done.output
    assert say(client, "one") == said and unit.show("InvocationID") == before


def test_a_restart_gives_the_same_state(client_of: Callable[[str], OpenAI], host: Host, apply: Apply, commits: list[str]) -> None:
    client, unit = client_of("base"), Unit(host, "vllm-base.service")
    assert apply(one=commits[1]).status == 0
    said = say(client, "one")
    host.check_output("systemctl restart vllm-base.service")
    assert sorted(listed(client)) == ["base", "one"] and say(client, "one") == said, unit.journal()
