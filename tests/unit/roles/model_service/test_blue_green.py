# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blue/green updates, played with the role's own tasks and filters.

Stand-ins take the place of the modules that look at a host or change it, of systemctl and of the unit's template. What they do is written to a log, in
the order in which it happened.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
from stand_ins import collection


# The run's folder has script.json, with the behaviours of each service, and log.
SHARED = '''
import json, os
from pathlib import Path

from ansible.plugins.action import ActionBase


def script(name):
    return json.loads((Path(os.environ["STAND_IN"]) / "script.json").read_text())[name]


def events():
    return (Path(os.environ["STAND_IN"]) / "log").read_text().splitlines()


def write(event):
    with open(Path(os.environ["STAND_IN"]) / "log", "a") as file:
        file.write(event + "\\n")


def is_green(unit):
    return unit.startswith("inferops-green-")


def name_of(unit):
    return unit.partition(".")[0].removeprefix("inferops-green-").removeprefix("vllm-")


def fails(unit):
    """Whether the engine of a unit fails: the new one beside the old one, or the service's own with the new files, until it has gone back."""
    name = name_of(unit)
    return script(name).get("green" if is_green(unit) else "own") == "fails" and f"restore {name}" not in events()


class Base(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        return self.play(self._task.args, self._task.check_mode)
'''
FOLLOW_UNIT = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        write(f"follow {given['unit']}")
        return {"changed": False, "failed": True, "msg": f"{given['label']} failed: no memory"} if fails(given["unit"]) else {"changed": False, "seconds": 1.0}
'''
FOLLOW_UNITS = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        found = []
        for item in given["units"]:
            write(f"follow {item['unit']}")
            found.append({"item": item, "seconds": 1.0, **({"error": "Start failed: no memory"} if fails(item["unit"]) else {})})
        return {"changed": False, "results": found, "waiting": []}
'''
API_CHECK = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        for service in given["services"]:
            write(f"ask {service['unit']} {service['url']}")
        return {"changed": False, "answers": {service["name"]: {"seconds": 1.0} for service in given["services"]}, "errors": {}}
'''
SERVICE_GREEN = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        for unit in given["units"]:
            if given["state"] == "switched":
                write(f"switch {unit} {given['port']} {given['address']} {given['target']}")
                if script(name_of(unit)).get("switch") == "fails":
                    return {"failed": True, "msg": "iptables: no such table"}
            else:
                write(f"{given['state']} {unit}")
        return {"changed": True, "units": given["units"], "kept": []}
'''
# A service is changed until its unit has restarted.
SERVICE_STATE = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        actions = {}
        for item in given["services"]:
            name = name_of(item["unit"])
            changed = script(name).get("changed", True) and f"restart {name}" not in events()
            actions[item["unit"]] = "held" if item["unit"] in given.get("held", []) else "restart" if changed else "none"
            if actions[item["unit"]] == "restart" and not check:
                write(f"restart {name}")
        restarts = [unit for unit, action in actions.items() if action == "restart"]
        return {"changed": bool(restarts), "actions": actions, "restarts": restarts, "stops": [], "waiting": [] if check else restarts, "written": []}
'''
SERVICE_LAST_KNOWN_GOOD = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        outcomes = {}
        for item in given["services"]:
            write(f"{given['action']} {item['name']}")
            outcomes[item["name"]] = {"action": "restored", "release": "vllm-before", "kept": "yesterday"}
        return {"changed": True, "outcomes": outcomes, "restored": list(outcomes)}
'''
SERVICE_ADAPTERS = SHARED + '''
class ActionModule(Base):
    def play(self, given, check):
        assert int(given.get("timeout", 0)) == (120 if given.get("state") == "loaded" else 0)
        for item in given["services"]:
            write(f"{given.get('state', 'written')} adapters of {item['name']} in {item['file']}")
        return {"changed": False, "written": []}
'''
STAND_INS = {
    "follow_unit": FOLLOW_UNIT, "follow_units": FOLLOW_UNITS, "api_check": API_CHECK, "service_green": SERVICE_GREEN, "service_state": SERVICE_STATE,
    "service_last_known_good": SERVICE_LAST_KNOWN_GOOD, "service_adapters": SERVICE_ADAPTERS,
}
# The name of the host's service is the last argument's.
SYSTEMCTL = '''#!/bin/sh
for unit; do :; done
echo "active? $unit" >> "$STAND_IN/log"
! grep -q "\\"${unit%.service}\\": *{[^}]*\\"stopped\\"" "$STAND_IN/script.json"
'''


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that is the checkout, except for the stand-ins and the unit's template."""
    return collection(tmp_path_factory.mktemp("collections"), STAND_INS, "{{ item.unit }} {{ item.port }} {{ item.environment_file }}\n")


@pytest.fixture(scope="module", autouse=True)
def listening() -> Iterator[None]:
    """The controller reaches the ports of new engines, except that of the service walled."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _number in range(2)]
    PORTS[:] = [server.getsockname()[1] for server in opened]
    yield
    for server in opened:
        server.close()


# Ports of the new engines, of a host's first and second service.
PORTS: list[int] = []
# Nothing listens there.
WALLED = 1


def unit_of(name: str) -> dict[str, Any]:
    """A unit as the plan has it, as far as the role reads it."""
    return {
        "unit": name, "environment_file": f"/e/{name}.env", "served": f"/s/{name}.json", "own_folders": [], "environment": {}, "supervisor": [], "command": [],
        "has_secrets": True,
    }


def service(name: str, folder: Path, port: int = 8001, replicas: tuple[str, ...] = (), fits: bool = True, adapters: bool = False) -> dict[str, Any]:
    """A service as the plan has it."""
    unit, green = unit_of(f"vllm-{name}.service"), f"inferops-green-{name}.service"
    target = WALLED if name == "walled" else PORTS[port - 8001]
    own = {"unit": green, "unit_directory": str(folder / "run"), "port": target, "local_url": f"http://green:{target}", "units": [unit_of(green)]}
    of_file = {"paths": {}, "static": [], "file": "/e/adapters.json" if adapters else ""}
    own["adapters"] = {**of_file, "file": "/run/adapters.json" if adapters else ""}
    return {
        "name": name, "state": "present", "unit": unit["unit"], "units": [unit], "former_units": [], "release": "vllm-now", "release_path": "/r",
        "weights_path": "/w",
        "arguments_stamp": "/a", "digest": "d", "timeouts": {"start": 100}, "url": "http://127.0.0.1:1", "tls": None, "local_url": f"http://blue:{port}",
        "served_model_name": name, "task": "chat", "thinking": "", "thinking_switch": "", "node": None, "port": port, "address": "0.0.0.0", "engine": "vllm",
        "account": {"user": "a", "group": "a"}, "replicas": list(replicas), "missing_account": None, "directories": [], "files": {"folder": None},
        "adapters": of_file, "served": unit["served"],
        "unit_states": [{"unit": unit["unit"], "environment_file": unit["environment_file"]}],
        "green": {"unit": green, "port": target, "gpus": [4, 5], "why": "" if fits else "no GPUs", "service": own if fits else None},
    }


# Services by host; their names are those of their behaviours.
SCRIPT: dict[str, dict[str, str | bool]] = {
    "good": {}, "next": {}, "plain": {}, "same": {"changed": False}, "bad": {"green": "fails"}, "beside": {}, "deaf": {"switch": "fails"},
    "unlucky": {"own": "fails"}, "down": {"state": "stopped"}, "left": {"changed": False}, "walled": {}, "one": {}, "broken": {"green": "fails"},
    "tuned": {}, "detuned": {"green": "fails"},
}
HOSTS: dict[str, list[dict[str, Any]]] = {
    "several": [{"name": "good"}, {"name": "next", "port": 8002}, {"name": "plain", "fits": False}, {"name": "same"}],
    "bad": [{"name": "bad"}, {"name": "beside", "fits": False}], "deaf": [{"name": "deaf"}], "walled": [{"name": "walled"}], "unlucky": [{"name": "unlucky"}], "down": [{"name": "down"}],
    "left": [{"name": "left"}], "first": [{"name": "one", "replicas": ("first", "second")}], "second": [{"name": "one", "replicas": ("first", "second")}],
    "tuned": [{"name": "tuned", "adapters": True}], "detuned": [{"name": "detuned", "adapters": True}],
    "third": [{"name": "broken", "replicas": ("third", "fourth")}], "fourth": [{"name": "broken", "replicas": ("third", "fourth")}],
}


class Played:
    """A run of the role: what it printed, and the log."""

    def __init__(self, output: str, log: list[str], folder: Path) -> None:
        self.output, self.log, self.folder = output, log, folder

    def of(self, name: str) -> list[str]:
        """What happened to a service."""
        return [event for event in self.log if name in event.replace(".", " ").replace("-", " ").split()]

    def failed(self, host: str) -> str:
        """The last message with which a host failed; those before were rescued."""
        messages = [line for line in self.output.splitlines() if line.startswith((f"fatal: [{host}]: ", f"failed: [{host}]"))]
        recap = next(line for line in self.output.splitlines() if line.startswith(f"{host} ") and " ok=" in line)
        return "" if " failed=0 " in recap else messages[-1]


def play(folder: Path, collections: Path, hosts: list[str], *more: str) -> Played:
    """A run of the role for these hosts."""
    (folder / "script.json").write_text(json.dumps({f"vllm-{name}": about for name, about in SCRIPT.items()} | SCRIPT), encoding="utf-8")
    (folder / "log").touch()
    for name in ("bin", "run", "etc"):
        (folder / name).mkdir()
    (folder / "bin" / "systemctl").write_text(SYSTEMCTL, encoding="utf-8")
    (folder / "bin" / "systemctl").chmod(0o755)
    found: dict[str, Any] = {}
    for host in hosts:
        services = [service(folder=folder, **about) for about in HOSTS[host]]
        facts = {"checked": {one["name"]: "d" for one in services}, "services": [], "green_units": ["inferops-green-left.service"] if host == "left" else []}
        found[host] = {"plan_host": {"services": services, "paths": {"cache": "/c"}}, "plan_facts": facts}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": found}}), encoding="utf-8")
    tasks = [{"ansible.builtin.include_role": {"name": "inferops.gpu.model_service"}}]
    (folder / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    variables = {
        "__model_service_unit_directory": str(folder / "etc"), "__model_service_secrets": dict.fromkeys(SCRIPT, {}), "model_service_min_ready_seconds": 0,
        "ansible_python_interpreter": sys.executable,
    }
    arguments = ("-i", str(folder / "hosts.json"), "-c", "local", "--forks", "10", "-e", json.dumps(variables), *more, str(folder / "play.json"))
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1", "STAND_IN": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    done = ansible_runs.playbook(*arguments, cwd=folder, env=env, timeout=400)
    return Played(done.stdout, (folder / "log").read_text(encoding="utf-8").splitlines(), folder)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Played:
    """One run for all hosts."""
    return play(tmp_path_factory.mktemp("played"), collections, list(HOSTS))


def whole(name: str, port: int = 8001) -> list[str]:
    """A blue/green update in its order."""
    green, blue, target = f"inferops-green-{name}.service", f"vllm-{name}.service", PORTS[port - 8001]
    return [
        f"active? {blue}", f"started {green}", f"follow {green}", f"ask {green} http://green:{target}", f"switch {green} {port} 0.0.0.0 {target}",
        f"restart {name}", f"follow {blue}", f"ask {blue} http://blue:{port}", f"record {name}", f"absent {green}",
    ]


def test_the_new_engine_takes_over_while_the_service_restarts(played: Played) -> None:
    """It has passed before connections go to it, and leaves when the service's own unit has passed."""
    assert played.of("good") == whole("good"), played.output
    assert (played.folder / "run" / "inferops-green-good.service").read_text().split() == [
        "inferops-green-good.service", str(PORTS[0]), "/e/inferops-green-good.service.env",
    ]
    assert not played.failed("several"), played.output


def test_the_old_engine_keeps_its_adapters_until_it_stops(played: Played) -> None:
    """Its own file changes after the new engine has taken over; if that fails, not at all."""
    events = played.of("tuned")
    written = [event for event in events if event.startswith("written")]
    assert written[0] == "written adapters of tuned in /run/adapters.json" and set(written[1:]) == {"written adapters of tuned in /e/adapters.json"}, events
    assert events.index(written[1]) > next(number for number, event in enumerate(events) if event.startswith("switch")), events
    assert "loaded adapters of tuned in /e/adapters.json" in events
    assert not [event for event in played.of("detuned") if "/e/adapters.json" in event], played.of("detuned")


def test_services_of_a_host_change_one_after_the_other(played: Played) -> None:
    """They may use the same GPUs. One without room restarts as usual, one without a change is left alone."""
    assert played.of("next") == whole("next", 8002) and played.log.index("absent inferops-green-good.service") < played.log.index(
        "started inferops-green-next.service"
    )
    assert played.of("plain") == ["restart plain", "follow vllm-plain.service", "ask vllm-plain.service http://blue:8001", "record plain"]
    assert played.of("same") == []


def test_a_new_engine_that_fails_leaves_the_service_as_it_is(played: Played) -> None:
    """It is removed; the host's other services change, and then the host fails."""
    assert played.of("bad") == [event for event in whole("bad") if event.startswith(("active", "started", "follow inferops", "absent"))], played.output
    assert "record beside" in played.log and not (played.folder / "etc" / "vllm-bad.service").exists()
    said = played.failed("bad")
    assert "The new engine of service bad, release vllm-now, was not put into service" in said and "failed: no memory" in said, said


def test_connections_that_cannot_be_redirected(played: Played) -> None:
    """The service keeps its old engine as well."""
    assert [event.split()[0] for event in played.of("deaf")] == ["active?", "started", "follow", "ask", "switch", "absent"], played.output
    assert "iptables: no such table" in played.failed("deaf")


def test_a_port_that_the_controller_cannot_reach(played: Played) -> None:
    """A firewall does not allow it: no client would get an answer."""
    assert [event.split()[0] for event in played.of("walled")] == ["active?", "started", "follow", "ask", "absent"], played.output
    assert "cannot be reached from the controller" in played.failed("walled")


def test_a_service_that_fails_goes_back_behind_the_new_engine(played: Played) -> None:
    """That takes connections until the service serves again; then the host fails with the report of the rollback."""
    events = played.of("unlucky")
    assert events[-6:] == ["follow vllm-unlucky.service", "restore unlucky", "follow vllm-unlucky.service", "ask vllm-unlucky.service http://blue:8001",
                           "record unlucky", "absent inferops-green-unlucky.service"], events
    assert "It was rolled back to its last known good state" in played.failed("unlucky"), played.output


def test_a_service_that_does_not_serve_restarts_as_usual(played: Played) -> None:
    assert [event.split()[0] for event in played.of("down")] == ["active?", "restart", "follow", "ask", "record"] and not played.failed("down")


def test_what_an_earlier_run_has_left_is_removed(played: Played) -> None:
    """Also if nothing changes. First, since its GPUs may be those of the next new engine; and last, if it had to stay until then."""
    assert played.of("left") == ["absent inferops-green-left.service"] * 2 and not played.failed("left")


def test_replicas_change_one_after_the_other(played: Played) -> None:
    """Each of them blue/green in its step."""
    # A log has no hosts: the second begins after the first has ended.
    assert [event for event in played.of("one") if not event.startswith("restart")][:9] == [event for event in whole("one") if not event.startswith("restart")], (
        played.of("one")
    )
    assert not played.failed("first") + played.failed("second"), played.output


def test_a_replica_whose_new_engine_fails_stops_the_rollout(played: Played) -> None:
    """The next one is not touched."""
    assert played.of("broken").count("started inferops-green-broken.service") == 1 and "restart broken" not in played.log
    assert "The new engine of service broken" in played.failed("third") and "Rollout of service broken" in played.failed("fourth"), played.output


def test_check_mode_reports_the_change(tmp_path: Path, collections: Path) -> None:
    """And starts nothing."""
    (tmp_path / "folder").mkdir()
    done = play(tmp_path / "folder", collections, ["several", "left"], "--check")
    assert not [event for event in done.log if event.split()[0] not in ("active?", "absent")], done.log
    assert f"good: the new engine starts beside the old one, in inferops-green-good.service on port {PORTS[0]} and GPU 4,5" in done.output
    assert not done.failed("several") and not list((done.folder / "run").iterdir())
