# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The temporary unit of a blue/green update: started once, switched to, and removed when the service serves; and what else finds it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.inferops.gpu.plugins.module_utils import _green, _host, _host_removal, _service, _systemd
from ansible_collections.inferops.gpu.plugins.module_utils.drain import redirect
from ansible_collections.inferops.gpu.plugins.modules import service_control, service_green

GREEN, BLUE = "inferops-green-a.service", "vllm-a.service"
TEXT = "A=s3cr3t\n"


class Lab:
    """The files of a temporary unit below a folder, and what systemd would say of it and of its service."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.base, self.capsys = base, capsys
        self.calls: list[str] = []
        self.states = {GREEN: ["loaded", "inactive"], BLUE: ["loaded", "active"]}
        self.process = "0"
        for module, name in ((_green, "_RECORDS"), (_green, "_SUPERVISORS"), (_service, "RECORD_DIRECTORY"), (_service, "SUPERVISOR_DIRECTORY")):
            monkeypatch.setattr(module, name, str(base))
        monkeypatch.setattr(_green, "DIRECTORY", str(base / "units"))
        monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(base / "etc"))
        monkeypatch.setattr(_service, "UNIT_DIRECTORY", str(base / "etc"))
        monkeypatch.setattr(_systemd, "show", self.show)
        monkeypatch.setattr(_systemd, "show_all", lambda units, *names: {unit: self.show(unit, *names) for unit in units})
        monkeypatch.setattr(_systemd, "systemctl", self.systemctl)
        # The rules of the packet filter, by unit; and why there can be none.
        self.rules: list[str] = []
        self.unusable: list[str] = []
        monkeypatch.setattr(redirect, "unusable", lambda address: self.unusable)
        monkeypatch.setattr(redirect, "switch_back", lambda unit: self.rules.clear() or [])
        monkeypatch.setattr(redirect, "release", lambda unit: [])
        for name in ("units", "etc"):
            (base / name).mkdir()
        self.unit, self.environment = base / "units" / GREEN, base / "inferops-green-a.env"
        self.unit.write_text("# Managed by inferops.gpu\n")

    def show(self, unit: str, *names: str) -> dict[str, str]:
        load, active = self.states.get(unit, ["not-found", "inactive"])
        return {**dict.fromkeys(names, ""), "LoadState": load, "ActiveState": active, "MainPID": self.process, "NeedDaemonReload": "no",
                "WorkingDirectory": str(self.base / "cache" / "a") if unit == GREEN else ""}

    def systemctl(self, *arguments: str) -> str:
        """systemd forgets a unit that does not run and has not failed."""
        if arguments[0] == "reset-failed" and self.states.get(arguments[1], ["", ""])[1] != "failed":
            raise RuntimeError(f"Failed to reset failed state of unit {arguments[1]}: Unit {arguments[1]} not loaded.")
        if arguments[0] == "stop":
            self.states[arguments[1]][1] = "inactive"
        self.calls.append(" ".join(arguments))
        return ""

    def runs(self) -> None:
        """The unit runs with its current files."""
        self.environment.write_text(TEXT)
        self.environment.chmod(0o600)
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n" for path in (self.unit, self.environment)]
        (self.base / f"{GREEN}.started").write_text("".join(lines) + "NeedDaemonReload=no\n")
        self.states[GREEN] = ["loaded", "active"]

    def play(self, state: str, module: Any = service_green, **given: Any) -> dict[str, Any]:
        """The result of the module."""
        with patch_module_args({"state": state, "units": [GREEN], **given}), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(self.capsys.readouterr().out))

    def start(self, text: str = TEXT, **given: Any) -> dict[str, Any]:
        return self.play("started", account="root", port=8001, address="0.0.0.0", target=18001, environment=base64.b64encode(text.encode()).decode(), **given)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    return Lab(tmp_path, monkeypatch, capsys)


def test_it_starts_with_its_environment_and_not_at_boot(lab: Lab) -> None:
    """Root alone can read the environment."""
    result = lab.start()
    assert result["changed"] and f"restart --no-block {GREEN}" in lab.calls and not [call for call in lab.calls if "enable" in call]
    assert lab.environment.read_text() == TEXT and lab.environment.stat().st_mode & 0o777 == 0o600
    assert "s3cr3t" not in json.dumps(result)


def test_one_that_a_run_has_left_goes_on(lab: Lab) -> None:
    """With its present files only."""
    lab.runs()
    assert not lab.start()["changed"] and lab.calls == []
    assert lab.start("A=other\n")["changed"] and f"restart --no-block {GREEN}" in lab.calls


@pytest.mark.skipif(os.geteuid() != 0, reason="the test's own process is root's")
def test_two_accounts_do_not_share_a_cache(lab: Lab) -> None:
    """The service's own unit runs as the account of before."""
    lab.process = str(os.getpid())
    assert lab.start()["changed"]
    lab.calls.clear()
    result = lab.play("started", account="nobody", environment="", port=8001, address="0.0.0.0", target=18001)
    assert result["failed"] and "runs as another account than nobody" in result["msg"] and lab.calls == []


def test_the_switch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be redirected is an error, with its fix."""
    given: list[tuple[Any, ...]] = []
    errors: list[str] = []
    monkeypatch.setattr(redirect, "switch", lambda *words: given.append(words) or errors)
    switch = {"port": 8001, "address": "0.0.0.0", "target": 18001}
    assert lab.play("switched", **switch)["changed"] and given == [(GREEN, 8001, "0.0.0.0", 18001)]
    errors.append("iptables: no nat")
    failed = lab.play("switched", **switch)
    assert failed["failed"] and "iptables: no nat" in failed["msg"] and "Fix: " in failed["msg"]
    assert lab.play("switched", _ansible_check_mode=True, **switch)["changed"] and len(given) == 2


def test_it_goes_with_all_of_its_files(lab: Lab) -> None:
    """The unit file last: by that the next run finds it."""
    lab.runs()
    cache = lab.base / "cache" / "a" / "green" / "vllm"
    cache.mkdir(parents=True)
    assert lab.play("absent", _ansible_check_mode=True)["changed"] and lab.unit.exists() and lab.calls == []
    result = lab.play("absent")
    assert (result["units"], result["kept"]) == ([GREEN], []) and lab.calls == [f"stop {GREEN}", "daemon-reload"]
    assert [path.name for path in lab.base.rglob("*") if "green" in path.name] == [] and (lab.base / "cache" / "a").is_dir()
    assert _green.files(GREEN)[-1] == str(lab.unit)
    assert not lab.play("absent")["changed"]


@pytest.mark.parametrize(("green", "blue", "kept"), [
    ("active", ["loaded", "active"], False), ("active", ["loaded", "activating"], True), ("active", ["loaded", "failed"], True),
    ("activating", ["loaded", "failed"], False), ("active", ["not-found", "inactive"], False),
])
def test_it_stays_while_it_alone_serves(lab: Lab, green: str, blue: list[str], kept: bool) -> None:
    """A service that is gone needs none."""
    lab.states = {GREEN: ["loaded", green], BLUE: blue}
    result = lab.play("absent")
    assert (result["kept"], lab.unit.exists(), result["changed"]) == ([GREEN] if kept else [], kept, not kept)


def test_it_is_a_fact_if_it_is_managed(lab: Lab) -> None:
    (lab.base / "units" / "inferops-green-b.service").write_text("[Unit]\n")
    assert _green.units() == [GREEN]


def test_who_stops_or_removes_the_service_removes_it(lab: Lab) -> None:
    """Or else it would go on serving."""
    service = _service.Service(BLUE, str(lab.base / "a.env"), None, "absent")
    lab.states[BLUE] = ["not-found", "inactive"]
    assert service.needed_action(start=True) == "remove"
    service.remove()
    assert not lab.unit.exists() and service.needed_action(start=True) == "none"
    lab.states[BLUE], lab.states[GREEN] = ["loaded", "inactive"], ["loaded", "active"]
    lab.unit.write_text("# Managed by inferops.gpu\n")
    (lab.base / "etc" / BLUE).write_text("# Managed by inferops.gpu\n")
    with patch_module_args({"state": "stopped", "units": [BLUE]}), pytest.raises(SystemExit):
        service_control.main()
    assert json.loads(lab.capsys.readouterr().out)["changed"] and not lab.unit.exists()


def test_the_removal_of_everything_removes_it_first(lab: Lab) -> None:
    (lab.base / "etc" / BLUE).write_text("# Managed by inferops.gpu\n")
    assert _host_removal.units() == [GREEN, BLUE]
    _host_removal.remove_unit(GREEN)
    assert not lab.unit.exists() and (lab.base / "etc" / BLUE).exists()


@pytest.mark.parametrize("unit", ["ray-worker-a.service", "ray-head-a.service"])
def test_units_that_a_service_must_not_have_leave_it_alone(lab: Lab, unit: str) -> None:
    """Each run looks at them, also in the middle of an update."""
    lab.runs()
    service = _service.Service(unit, "", None, "absent")
    assert service.needed_action(start=True) == "none"
    service.remove()
    assert lab.unit.exists() and f"stop {GREEN}" not in lab.calls


def test_an_engine_with_other_files_stops_before_systemd_reads_them(lab: Lab) -> None:
    """Its own ones name the engine that is drained, and nothing is redirected to a port that nobody listens on."""
    lab.runs()
    lab.rules.append("to a port of before")
    lab.unit.write_text("# Managed by inferops.gpu\n# another port\n")
    assert lab.start()["changed"] and lab.rules == []
    assert lab.calls.index(f"stop {GREEN}") < lab.calls.index(f"restart --no-block {GREEN}")
    assert "daemon-reload" not in lab.calls[:lab.calls.index(f"stop {GREEN}")]


def test_a_host_that_cannot_redirect_says_so_before_anything_starts(lab: Lab) -> None:
    lab.unusable = ["iptables: Table does not exist"]
    result = lab.start()
    assert result["failed"] and "Table does not exist" in result["msg"] and "Fix: " in result["msg"] and lab.calls == [] and not lab.environment.exists()


def test_a_redirect_that_does_not_end_is_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit file stays, by which the next run finds it."""
    monkeypatch.setattr(redirect, "switch_back", lambda unit: ["iptables: another app has the lock"])
    lab.runs()
    result = lab.play("absent")
    assert result["failed"] and "still redirected" in result["msg"] and "has the lock" in result["msg"] and lab.unit.exists()
