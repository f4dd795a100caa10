# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health gate of a host with several services, played with the role's own tasks, filters and O(follow_units).

Stand-ins take the place of the modules that look at a host or change it. What they do is written to a log, in the order in which it happened.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml
from stand_ins import collection


# The stand-ins are actions, which need no process of their own. The run's folder has script.json, with the behaviours of each service, and log. A service
# takes its next behaviour when it has gone back or was restarted.
SHARED = '''
import json, os
from pathlib import Path

from ansible.plugins.action import ActionBase


def read(name):
    return (Path(os.environ["STAND_IN"]) / name).read_text()


def events():
    return read("log").splitlines()


def write(event):
    with open(Path(os.environ["STAND_IN"]) / "log", "a") as file:
        file.write(event + "\\n")


def generation(name):
    return sum(event in (f"restore {name}", f"heal {name}") for event in events())


def behaviour(name):
    found = json.loads(read("script.json"))[name]
    return found[min(generation(name), len(found) - 1)]
'''
# How often the unit is seen starting, or until which event, and how its start ends.
LOOK = SHARED + '''
def status_of(unit):
    name = unit[len("vllm-"):-len(".service")]
    now, event = behaviour(name), f"{unit} {generation(name)}"
    seen, after = events().count("look " + event), now.get("after", 0)
    write("look " + event)
    # A limit, so that a run that waits for what never happens ends, too.
    ended = seen >= after if isinstance(after, int) else after in events() or seen > 20
    if ended:
        write(f"{now['ends']} {event}")
    return {
        "ended": ended, "failed_start": ended and now["ends"] == "failed", "state": "active", "result": "exit-code", "status": "", "restarts": 0,
        "cause": f"the engine of {name} fell in generation {generation(name)}",
    }


def look(module_name, module_args, task_vars):
    assert module_name == "inferops.gpu.unit_status"
    if module_args.get("units"):
        return {"units": {item["unit"]: status_of(item["unit"]) for item in module_args["units"]}}
    return status_of(module_args["unit"])
'''
FOLLOW = LOOK + '''
from ansible_collections.inferops.gpu.plugins.action.REAL import *
from ansible_collections.inferops.gpu.plugins.action import REAL


class ActionModule(REAL.ActionModule):
    def _execute_module(self, **given):
        return look(**given)
'''
SERVICE_LAST_KNOWN_GOOD = SHARED + '''
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        action, outcomes = self._task.args["action"], {}
        for item in self._task.args["services"]:
            name = item["name"]
            if action == "record":
                write(f"record {name}{' as planned' if item['arguments'] else ''}")
                continue
            outcome = behaviour(name).get("outcome", "restored")
            outcomes[name] = {"action": outcome, "why": "the stand-in says so", "release": "vllm-before", "kept": "yesterday"}
            write(f"{'restore' if outcome == 'restored' else outcome} {name}")
        return {"changed": True, "outcomes": outcomes, "restored": [name for name, outcome in outcomes.items() if outcome["action"] == "restored"]}
'''
SERVICE_HEAL = SHARED + '''
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        names = [item["name"] for item in self._task.args["services"]]
        for name in names:
            write(f"heal {name}")
        return {"changed": True, "restarted": names, "states": {name: {"state": "hangs", "why": "no answer"} for name in names}}
'''
API_CHECK = SHARED + '''
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        answers, errors = {}, {}
        for service in self._task.args["services"]:
            name = service["name"]
            write(f"ask {name} {generation(name)}")
            if behaviour(name).get("answers", True):
                answers[name] = {"seconds": 1.0}
            else:
                errors[name] = f"{name} answered nothing in generation {generation(name)}"
        return {"changed": False, "answers": answers, "errors": errors}
'''
SERVICE_ADAPTERS = SHARED + '''
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        given = self._task.args
        assert given["state"] == "loaded" and int(given["timeout"]) == 77 and given["fail"] is False
        for item in given["services"]:
            write(f"adapters {item['name']}")
        return {"changed": False, "errors": {item["name"]: f"Service {item['name']} does not serve its adapters" for item in given["services"]}}
'''
STAND_INS = {
    **{name: FOLLOW.replace("REAL", f"real_{name}") for name in ("follow_unit", "follow_units")},
    "service_last_known_good": SERVICE_LAST_KNOWN_GOOD, "service_heal": SERVICE_HEAL, "api_check": API_CHECK,
    "service_adapters": SERVICE_ADAPTERS,
}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that is the checkout, except for the stand-ins."""
    return collection(tmp_path_factory.mktemp("collections"), STAND_INS)


def service(name: str, nodes: tuple[str, ...] = ()) -> dict[str, Any]:
    """A service as the plan has it, as far as the gate reads it."""
    unit = {"unit": f"vllm-{name}.service", "environment_file": f"/e/{name}.env", "served": f"/s/{name}.json", "own_folders": []}
    return {
        "name": name, "state": "present", "unit": unit["unit"], "units": [unit], "former_units": [], "environment_file": unit["environment_file"], "release": "vllm-now",
        "release_path": "/r", "weights_path": "/w", "arguments_stamp": "/a", "digest": "d", "timeouts": {"start": 100}, "url": "http://h", "tls": None,
        "local_url": "http://127.0.0.1", "served_model_name": name, "task": "chat", "thinking": "", "thinking_switch": "",
        "adapters": {"file": "/a.json" if name in ADAPTED else "", "paths": {}, "static": []}, "served": unit["served"],
        "node": {"nodes": [{"host": host} for host in nodes]} if nodes else None,
    }


# Services with LoRA adapters, of which the engine serves none.
ADAPTED = ("slow", "broken", "alone", "single")
SERVES = {"ends": "serving"}
FALLS = {"ends": "failed"}
# Services by host. Their names are those of their behaviours.
HOSTS = {
    "many": [service("slow"), service("broken"), service("mute"), service("new")],
    "head": [service("wide", ("head", "worker")), service("alone"), service("wrong")],
    "worker": [service("wide", ("head", "worker"))],
    "first": [service("broad", ("first", "second"))],
    "second": [service("broad", ("first", "second")), service("single")],
    "hangs": [service("hanging"), service("beside")],
    "later": [service("slowest")],
}
SCRIPT = {
    "slow": [{"after": "record broken", "ends": "serving"}], "broken": [{"after": 1, "ends": "failed"}, SERVES],
    "mute": [{"ends": "serving", "answers": False}], "new": [{**FALLS, "outcome": "stopped"}],
    "wide": [FALLS, SERVES], "alone": [{"after": 1, "ends": "serving"}], "wrong": [FALLS, SERVES],
    "broad": [SERVES], "single": [{"after": 1, "ends": "serving"}],
    "hanging": [{"ends": "serving", "answers": False, "outcome": "unchanged"}, SERVES], "beside": [{"after": 1, "ends": "serving"}],
    "slowest": [{"after": "record broken", "ends": "serving"}],
}


class Gated:
    """The run of the gate: what it printed, and the log."""

    def __init__(self, output: str, log: list[str]) -> None:
        self.output, self.log = output, log

    def order(self, *events: str) -> bool:
        """Whether these events happened, in this order."""
        places = [self.log.index(event) if event in self.log else -1 for event in events]
        return min(places) >= 0 and places == sorted(places)

    def failed(self, host: str) -> str:
        """The message with which a host failed; empty for one that did not."""
        messages = [line for line in self.output.splitlines() if line.startswith(f"fatal: [{host}]: ")]
        assert len(messages) <= 1, messages
        return "".join(messages)

    def outcome(self, name: str) -> bool:
        """Whether the outcome of a service has its seconds, on all of its hosts."""
        return self.output.count(f"outcome of {name}: True") == sum(name == item["name"] for items in HOSTS.values() for item in items)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Gated:
    """One run, in which all hosts go through the gate."""
    folder = tmp_path_factory.mktemp("gated")
    (folder / "script.json").write_text(json.dumps(SCRIPT), encoding="utf-8")
    (folder / "log").touch()
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {name: {"plan_host": {"services": items}} for name, items in HOSTS.items()}}}), encoding="utf-8")
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": {"name": "inferops.gpu.model_service", "tasks_from": name}} for name in ("gate_or_rollback", "outcome")
    ]
    shown = {"msg": "outcome of {{ item.key }}: {{ item.value.seconds is number }}"}
    tasks.append({"ansible.builtin.debug": shown, "loop": "{{ model_service_outcomes | dict2items }}"})
    (folder / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    variables = {
        "__model_service_waiting": "{{ plan_host.services }}",
        "__model_service_secrets": dict.fromkeys(SCRIPT, {}),
        "model_service_adapters_timeout": 77,
        "__model_service_state": {"actions": {item["unit"]: "restart" for items in HOSTS.values() for item in items}},
    }
    arguments = ("-i", str(folder / "hosts.json"), "-c", "local", "--forks", "7", "-e", json.dumps(variables), str(folder / "play.json"))
    env = {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1", "STAND_IN": str(folder)}
    done = ansible_runs.playbook(*arguments, cwd=folder, env=env)
    return Gated(done.stdout, (folder / "log").read_text(encoding="utf-8").splitlines())


def test_one_that_fails_goes_back_while_another_starts(gated: Gated) -> None:
    """It serves again before the other does. That is followed to its end and recorded; then the host fails, with one message."""
    assert gated.order("failed vllm-broken.service 0", "restore broken", "ask broken 1", "record broken"), gated.log
    assert gated.order("record broken", "serving vllm-slow.service 0", "ask slow 0", "record slow as planned"), gated.log
    said = gated.failed("many")
    assert "Service broken failed the health gate on release vllm-now. It was rolled back to its last known good state, release vllm-before" in said
    # Nor does it wait for other hosts.
    assert gated.order("restore broken", "serving vllm-slowest.service 0", "record slowest as planned") and not gated.failed("later"), gated.log
    assert "is healthy again" in said and "the engine of broken fell in generation 0" in said and "Service slow failed" not in said


def test_a_failure_does_not_hide_that_others_lack_their_adapters(gated: Gated) -> None:
    """Of those that have gone back nothing is known: their adapters are the former ones. A host without a failure waits after the gate."""
    said = gated.failed("many")
    assert said.count("does not serve its adapters") == 1 and "Service slow does not serve its adapters" in said, said
    assert gated.order("restore broken", "record slow as planned", "adapters slow") and "Service alone does not serve its adapters" in gated.failed("head")
    assert sorted(event for event in gated.log if event.startswith("adapters")) == ["adapters alone", "adapters slow"], gated.log


def test_one_that_answers_nothing_fails_after_its_rollback_too(gated: Gated) -> None:
    """It goes back once, and both reasons are reported."""
    assert gated.log.count("restore mute") == 1 and not [event for event in gated.log if event.startswith("record mute")]
    said = gated.failed("many")
    assert "which fails too" in said and "mute answered nothing in generation 0" in said and "mute answered nothing in generation 1" in said, said


def test_one_that_has_never_served_is_stopped(gated: Gated) -> None:
    """At once, and it is not waited for again."""
    assert gated.order("failed vllm-new.service 0", "stopped new", "serving vllm-slow.service 0"), gated.log
    assert gated.log.count("failed vllm-new.service 0") == 1 and "It was stopped and disabled (vllm-new.service)" in gated.failed("many")


def test_one_with_nothing_to_go_back_to_is_restarted_if_it_hangs(gated: Gated) -> None:
    """That heals it: the host does not fail, and its services have their outcomes."""
    assert gated.order("unchanged hanging", "record beside as planned", "heal hanging", "ask hanging 1", "record hanging as planned"), gated.log
    assert not gated.failed("hangs") and gated.outcome("hanging") and gated.outcome("beside"), gated.output


def test_a_multi_node_service_goes_back_on_all_of_its_nodes(gated: Gated) -> None:
    """Together, and after the single-node services: of these, those that pass stay, and those that fail go back first."""
    assert gated.order("restore wrong", "record alone as planned", "failed vllm-wide.service 0", "restore wide", "record wide"), gated.log
    assert gated.log.count("restore wide") == gated.log.count("record wide") == 2 and "restore alone" not in gated.log
    assert "Service wide" in gated.failed("worker") and "Service wrong" in gated.failed("head") and "Service wide" in gated.failed("head")
    assert gated.failed("head").count("is healthy again") == 2


def test_a_multi_node_service_passes_on_all_of_its_nodes(gated: Gated) -> None:
    assert gated.log.count("record broad as planned") == 2 and gated.outcome("broad"), gated.output
    assert not gated.failed("first") + gated.failed("second") and gated.outcome("single"), gated.output
