# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of a service's backend or of its head, and its rollback: former units go, and return from their last known good states.

The modules service_state and service_last_known_good run on a host whose systemd is a dictionary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.module_utils import _former_units, _last_known_good, _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import service_last_known_good, service_state

VLLM, HEAD, WORKER = "vllm-a.service", "ray-head-a.service", "ray-worker-a.service"
# Of each layout of a host its units, the main one last, with the backend and the role of their supervisors.
RAY_HEAD = {HEAD: ("ray", "leader"), VLLM: ("ray", "worker")}
RAY_WORKER = {WORKER: ("ray", "worker")}
MP_HEAD = {VLLM: ("mp", "leader")}
MP_WORKER = {VLLM: ("mp", "worker")}
ALONE = {VLLM: ("", "single")}
LAYOUTS = {"ray head": RAY_HEAD, "ray worker": RAY_WORKER, "mp head": MP_HEAD, "mp worker": MP_WORKER, "one host": ALONE}
Layout = dict[str, tuple[str, str]]


def text_of(backend: str, role: str) -> str:
    """A unit as the template writes it, as far as it says what its supervisor is."""
    words = ["/usr/bin/python3", "/opt/inferops/lib", "supervisor", role, "--service=a", *([f"--backend={backend}"] if backend else []), "--", "vllm", "serve"]
    return "# Managed by inferops.gpu\n[Service]\nExecStart=" + " \\\n    ".join(words) + "\n"


class Host:
    """The files of service a below a folder, and which of its units systemd runs or starts at boot."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.base, self.capsys = base, capsys
        self.units, self.etc, self.served, self.run = (base / name for name in ("units", "etc", "served", "run"))
        for folder in (self.units, self.etc, self.served, self.run, base / "release", base / "weights"):
            folder.mkdir()
        (base / "release" / "release.json").touch()
        for name, folder in (("UNIT_DIRECTORY", self.units), ("RECORD_DIRECTORY", self.run), ("SUPERVISOR_DIRECTORY", base / "supervisor")):
            monkeypatch.setattr(_service, name, str(folder))
        monkeypatch.setattr(_systemd, "show", self.show)
        monkeypatch.setattr(_systemd, "systemctl", self.systemctl)
        self.starts: dict[str, int] = {}
        self.active: set[str] = set()
        self.enabled: set[str] = set()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        found = {
            "LoadState": "loaded" if (self.units / unit).exists() or unit in self.active else "not-found",
            "ActiveState": "active" if unit in self.active else "inactive", "SubState": "running",
            "UnitFileState": "enabled" if unit in self.enabled else "disabled", "InvocationID": f"i{self.starts.get(unit, 0)}",
        }
        return {name: found.get(name, "") for name in properties}

    def systemctl(self, *arguments: str) -> str:
        verb, unit = arguments[0], arguments[-1]
        if verb in ("start", "restart", "stop", "enable", "disable") and self.show(unit, "LoadState")["LoadState"] == "not-found":
            raise RuntimeError(f"Unit {unit} not loaded.")
        if verb in ("start", "restart"):
            self.active.add(unit)
            self.starts[unit] = self.starts.get(unit, 0) + 1
            service = _service.Service(unit, str(self.etc / self.name(unit, "env")), None, "present")
            lines = [f"{_service.checksum(path)}  {path}\n" for path in (service.path, service.environment_file)]
            Path(service.started_record).write_text("".join(lines) + "NeedDaemonReload=no\n")
        if verb == "stop" or "--now" in arguments:
            self.active.discard(unit)
        if verb in ("enable", "disable"):
            (self.enabled.add if verb == "enable" else self.enabled.discard)(unit)
        return ""

    @staticmethod
    def name(unit: str, suffix: str) -> str:
        return f"a{'' if unit == VLLM else '.' + unit.partition('-a.')[0]}.{suffix}"

    def rows(self, units: Any) -> list[dict[str, Any]]:
        return [
            {
                "unit": unit, "environment_file": str(self.etc / self.name(unit, "env")), "served": str(self.served / self.name(unit, "json")),
                "folders": [str(self.base / "failures" / unit)],
            }
            for unit in units
        ]

    def change(self, layout: Layout, check_mode: bool = False) -> dict[str, Any]:
        """Write the units of a layout and bring the service to it, as the role does."""
        if not check_mode:
            for unit, words in layout.items():
                (self.units / unit).write_text(text_of(*words))
                (self.etc / self.name(unit, "env")).write_text(f"BACKEND={words[0]}\n")
                (self.base / "failures" / unit).mkdir(parents=True, exist_ok=True)
        former = [{**row, "state": "former"} for row in self.rows([unit for unit in (VLLM, WORKER, HEAD) if unit not in layout])]
        given = {"services": [*former, *self.rows(layout)], "rewritten": list(layout) if check_mode else []}
        return self.module(service_state, {**given, "_ansible_check_mode": check_mode})

    def items(self, units: Any, **keys: Any) -> list[dict[str, Any]]:
        found = [{"name": f"a ({row['unit']})", **{key: row[key] for key in ("unit", "environment_file", "served")}, **keys} for row in self.rows(units)]
        return [*found[:-1], {**found[-1], "name": "a"}]

    def passes(self, layout: Layout, planned: bool = True) -> None:
        """The service passes the health gate."""
        released = {"release": "r1", "release_path": str(self.base / "release"), "weights_path": str(self.base / "weights")}
        former = [{key: row[key] for key in ("served", "folders")} for row in self.rows([unit for unit in (VLLM, WORKER, HEAD) if unit not in layout])]
        self.module(service_last_known_good, {"action": "record", "services": self.items(layout, **released, former=former if planned else [])})

    def goes_back(self, layout: Layout, action: str = "restore", check_mode: bool = False) -> dict[str, Any]:
        return self.module(service_last_known_good, {"action": action, "services": self.items(layout), "_ansible_check_mode": check_mode})

    def module(self, module: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(self.capsys.readouterr().out)

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for folder in (self.units, self.etc) for path in folder.iterdir()}

    def records(self) -> set[str]:
        return {path.name for path in self.served.iterdir()}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, monkeypatch, capsys)


# What a run can make of a host: another backend, another head, one host instead of several, or the other way round.
CHANGES = [
    ("ray head", "mp head"), ("ray worker", "mp worker"), ("mp head", "ray head"), ("mp worker", "ray worker"), ("ray head", "ray worker"),
    ("ray worker", "ray head"), ("mp head", "mp worker"), ("mp worker", "mp head"), ("ray head", "one host"), ("ray worker", "one host"),
    ("one host", "ray head"), ("one host", "ray worker"), ("one host", "mp worker"), ("ray head", "mp worker"),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_failed_change_restores_all_former_units(host: Host, before: str, after: str) -> None:
    """And leaves nothing of the change that a boot or an operator would start. The run follows and records the units that serve again."""
    old, new = LAYOUTS[before], LAYOUTS[after]
    host.change(old)
    host.passes(old)
    files, records = host.files(), host.records()
    host.change(new)
    assert host.active == host.enabled == set(new)
    assert host.goes_back(new, check_mode=True)["outcomes"]["a"]["action"] == "restored" and host.active == set(new)
    done = host.goes_back(new)
    assert host.files() == files and host.active == host.enabled == set(old) and host.records() == records
    outcome = done["outcomes"]["a"]
    assert (outcome["action"], outcome["release"], outcome["units"]) == ("restored", "r1", list(reversed(old))) and "a" in done["restored"], done
    assert {one["action"] for one in done["outcomes"].values()} == {"restored"}
    host.passes(old, planned=False)
    assert host.records() == records
    # The next run with the former inventory has nothing left to restart.
    again = host.change(old)
    assert again["waiting"] == again["restarts"] == [] and set(again["actions"].values()) <= {"none", "remove"}
    assert not host.change(old)["changed"]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_change_that_passes_leaves_nothing_of_the_former_units(host: Host, before: str, after: str) -> None:
    """Until then their states stay; a second run changes nothing."""
    old, new = LAYOUTS[before], LAYOUTS[after]
    host.change(old)
    host.passes(old)
    told = host.change(new, check_mode=True)
    gone = set(old) - set(new)
    assert (set(told["stops"]), host.active) == (gone, set(old)) and all(told["actions"][unit] == "retire" for unit in gone)
    host.change(new)
    assert host.records() == {host.name(unit, "json") for unit in old} and {path.name for path in host.units.iterdir()} == set(new)
    host.passes(new)
    assert {name for name in host.records() if name.endswith(".json")} == {host.name(unit, "json") for unit in new}
    assert {path.name for path in (host.base / "failures").iterdir()} == set(new)
    assert not host.change(new)["changed"]


def test_states_of_former_units_end_with_the_gate_that_the_run_did_not_live_to_see(host: Host) -> None:
    """Someone has started the service; the next run finds that it has passed, and forgets them."""
    host.change(RAY_WORKER)
    host.passes(RAY_WORKER)
    host.change(MP_WORKER)
    host.passes(MP_WORKER, planned=False)
    assert "a.ray-worker.json" in host.records()
    assert host.change(MP_WORKER)["actions"][WORKER] == "remove" and host.records() == {"a.json"}


def test_without_start_the_states_stay(host: Host) -> None:
    """The change has not been tried."""
    host.change(RAY_WORKER)
    host.passes(RAY_WORKER)
    former = [{**row, "state": "former"} for row in host.rows([WORKER])]
    (host.units / VLLM).write_text(text_of("mp", "worker"))
    (host.etc / "a.env").write_text("")
    host.module(service_state, {"services": [*former, *host.rows([VLLM])], "start": False})
    assert host.records() == {"a.ray-worker.json"} and host.active == set()


def test_former_units_that_never_passed_do_not_return(host: Host) -> None:
    host.change(RAY_WORKER)
    assert host.change(MP_WORKER)["actions"][WORKER] == "remove" and host.records() == set()
    done = host.goes_back(MP_WORKER)
    assert done["outcomes"] == {"a": {"action": "stopped", "why": "it has never passed the health gate on this host"}} and host.active == host.enabled == set()


@pytest.mark.parametrize(("action", "then"), [("restore", "stopped"), ("revert", "unchanged")])
def test_an_engine_on_ray_does_not_return_without_rays_head(host: Host, action: str, then: str) -> None:
    """It would wait for a leader that is gone: an earlier version has removed it."""
    host.change(RAY_HEAD)
    host.passes(RAY_HEAD)
    host.change(MP_HEAD)
    (host.served / "a.ray-head.json").unlink()
    done = host.goes_back(MP_HEAD, action)
    assert done["outcomes"]["a"]["action"] == then and f"needs {HEAD}, which no longer exists" in done["outcomes"]["a"]["why"]
    assert host.active == (set() if then == "stopped" else {VLLM}) and host.files()[VLLM] == text_of("mp", "leader")


def test_without_the_former_release_no_unit_returns(host: Host) -> None:
    host.change(RAY_HEAD)
    host.passes(RAY_HEAD)
    host.change(RAY_WORKER)
    (host.base / "release" / "release.json").unlink()
    done = host.goes_back(RAY_WORKER)
    assert (done["outcomes"]["a"]["action"], host.active, host.enabled) == ("stopped", set(), set()) and "release.json" in done["outcomes"]["a"]["why"]


def test_an_operator_ends_a_change_that_a_run_did_not(host: Host) -> None:
    """All units return, also if a first attempt has ended after some of them."""
    host.change(RAY_HEAD)
    host.passes(RAY_HEAD)
    files = host.files()
    host.change(MP_HEAD)
    kept = _last_known_good.load(str(host.served / "a.ray-head.json"))
    assert kept is not None
    kept.restore()
    assert host.goes_back(RAY_HEAD, "revert")["outcomes"]["a"]["action"] == "restored"
    assert host.files() == files and host.active == host.enabled == set(RAY_HEAD)


@pytest.mark.parametrize(("before", "after", "words"), [
    ("ray head", "mp head", "that state is of the backend ray, and the service now has the backend mp"),
    ("mp head", "ray head", "that state is of the backend mp, and the service now has the backend ray"),
    ("mp head", "one host", "that state is of the backend mp, and the service now has one host"),
])
def test_an_operator_does_not_go_back_to_another_backend(host: Host, before: str, after: str, words: str) -> None:
    """Once the change has passed, the units of the other backend are gone, also on the other hosts."""
    old, new = LAYOUTS[before], LAYOUTS[after]
    host.change(old)
    host.passes(old)
    host.change(new)
    host.passes(new)
    files = host.files()
    found = host.goes_back(new, "revert")
    assert found["outcomes"]["a"]["action"] == "unchanged" and words in found["outcomes"]["a"]["why"]
    assert host.files() == files and host.active == set(new) and not found["changed"]


def test_a_failure_of_the_rollback_is_that_of_the_service(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.change(RAY_WORKER)
    host.passes(RAY_WORKER)
    host.change(MP_WORKER)
    monkeypatch.setattr(_last_known_good.State, "restore", lambda _state: (_ for _ in ()).throw(OSError("disk full")))
    assert host.goes_back(MP_WORKER)["outcomes"] == {"a": {"action": "failed", "why": "the rollback failed: disk full"}}


def test_the_layout_is_in_the_supervisors_arguments() -> None:
    """Not in those of the program that it supervises."""
    assert _former_units.layout_of(text_of("ray", "leader")) == ("ray", "leader")
    assert _former_units.layout_of(text_of("", "single")) == ("", "")
    assert _former_units.layout_of(text_of("", "single").replace("serve", "serve --backend=mp")) == ("", "")
    assert _former_units.layout_of("") == ("", "")
