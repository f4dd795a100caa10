# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of packages: what they need follows from the host's state, whatever an earlier run has left undone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _package_changes, _package_program, _systemd

OWN = "/usr/bin/prometheus --config.file=/etc/prometheus/inferops/prometheus.yml --web.listen-address=127.0.0.1:9090"


class Machine:
    """A host with prometheus.service, as systemctl shows it."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[str] = []
        self.running = OWN
        self.breaks_at = ""
        self.shown = {
            "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no", "MainPID": "7",
            "ExecStart": "{ path=/usr/bin/prometheus ; argv[]=" + OWN + " ; ignore_errors=no ; start_time=[n/a] ; pid=7 }",
            "StateChangeTimestampMonotonic": str(int((time.monotonic() - 60) * 1e6)),
        }
        self.drop_in = base / "prometheus.service.d" / "inferops.conf"
        self.drop_in.parent.mkdir()
        self.drop_in.write_text("[Service]\n")
        self.record = base / "inferops-packages"
        monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(base))
        monkeypatch.setattr(_package_program, "RECORD", str(self.record))
        monkeypatch.setattr(_package_program, "PENDING", str(base / "pending"))
        monkeypatch.setattr(_systemd, "show", lambda unit, *names: {name: self.shown[name] for name in names})
        monkeypatch.setattr(_systemd, "systemctl", self.systemctl)
        monkeypatch.setattr(_package_changes, "changed_files", lambda packages: [])
        monkeypatch.setattr(_host, "read_text", lambda path: self.running.replace(" ", "\0") if path == "/proc/7/cmdline" else "")

    def systemctl(self, *arguments: str) -> str:
        said = " ".join(arguments)
        if said == self.breaks_at:
            raise RuntimeError("killed")
        self.commands.append(said)
        if said == "daemon-reload":
            self.shown.update(NeedDaemonReload="no", LoadState="loaded" if self.shown["LoadState"] == "loaded" else "not-found")
        return ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def run(*files: Path, check: bool = False) -> list[str]:
    return _package_program.run("prometheus.service", [str(path) for path in files], check)


def test_a_program_that_runs_as_wanted_is_left_alone(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.touch()
    machine.shown["StateChangeTimestampMonotonic"] = str(int((time.monotonic() + 1) * 1e6))
    assert run(file, tmp_path / "none") == [] and machine.commands == []
    # Versions of systemctl quote differently.
    machine.shown["ExecStart"] = machine.shown["ExecStart"].replace("--web.listen-address=127.0.0.1:9090", '"--web.listen-address=127.0.0.1:9090"')
    assert run(file) == []


@pytest.mark.parametrize(("shown", "done"), [
    ({"ActiveState": "inactive"}, ["restart"]),
    ({"ActiveState": "activating"}, ["restart"]),
    ({"UnitFileState": "disabled"}, ["enable"]),
    # A run ended between the drop-in and daemon-reload.
    ({"NeedDaemonReload": "yes", "ActiveState": "inactive"}, ["daemon-reload", "restart"]),
    ({"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": ""}, ["daemon-reload", "enable", "restart"]),
])
def test_what_is_missing_is_done(machine: Machine, shown: dict[str, str], done: list[str]) -> None:
    machine.shown.update(shown)
    assert run(check=True) == done and machine.commands == []
    assert run() == done and machine.commands == [word if word == "daemon-reload" else f"{word} prometheus.service" for word in done]


def test_an_earlier_run_ended_before_the_restart(machine: Machine) -> None:
    """After daemon-reload, so that systemd alone knows the new arguments."""
    machine.running = "/usr/bin/prometheus"
    assert run() == ["restart"] and machine.commands == ["restart prometheus.service"]


def test_an_earlier_run_ended_before_the_reload(machine: Machine, tmp_path: Path) -> None:
    """A file, or a rule that was removed from its directory, is newer than the last start or reload."""
    rules = tmp_path / "rules"
    rules.mkdir()
    assert run(rules) == ["reload"] and machine.commands == ["reload prometheus.service"]
    machine.shown["StateChangeTimestampMonotonic"] = str(int(time.monotonic() * 1e6))
    time.sleep(0.02)
    (rules / "a.yml").touch()
    assert run(rules) == ["reload"]


def restore(check: bool = False) -> bool:
    return _package_program.restore("prometheus", check)


def test_a_program_goes_back_to_its_package(machine: Machine) -> None:
    assert restore(check=True) and machine.drop_in.exists() and machine.commands == []
    assert restore() and not machine.drop_in.parent.exists()
    assert machine.commands == ["daemon-reload", "restart prometheus.service"]
    assert not restore() and not os.path.exists(_package_program.PENDING)


def test_one_that_did_not_run_is_not_started(machine: Machine) -> None:
    machine.shown["ActiveState"] = "inactive"
    assert restore() and machine.commands == ["daemon-reload"]


def test_one_that_the_role_has_installed_stops(machine: Machine) -> None:
    """With its package's arguments it would listen on all addresses."""
    machine.record.write_text("prometheus-node-exporter\nprometheus\n")
    assert restore() and machine.commands == ["daemon-reload", "disable --quiet --now prometheus.service"]


def test_one_that_an_administrator_has_configured_since_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does who then sets monitoring_files_dir."""
    machine.record.write_text("prometheus\n")
    monkeypatch.setattr(_package_changes, "changed_files", lambda packages: ["/etc/prometheus/prometheus.yml"])
    assert restore() and machine.commands == ["daemon-reload", "restart prometheus.service"]


def test_one_whose_package_is_not_there(machine: Machine) -> None:
    """A run ended between the drop-in and the package."""
    machine.shown["LoadState"] = "not-found"
    machine.record.write_text("prometheus\n")
    assert restore() and machine.commands == ["daemon-reload"]


@pytest.mark.parametrize("at", ["daemon-reload", "disable --quiet --now prometheus.service"])
def test_a_removal_that_was_killed_is_completed(machine: Machine, at: str) -> None:
    machine.record.write_text("prometheus\n")
    machine.breaks_at = at
    with pytest.raises(RuntimeError, match="killed"):
        restore()
    assert not machine.drop_in.exists()
    machine.breaks_at = ""
    assert restore() and machine.commands[-1] == "disable --quiet --now prometheus.service" and not restore()


@pytest.mark.parametrize(("rows", "said"), [
    ([{"port": 9090, "unit": "prometheus.service", "program": "prometheus"}], ""),
    ([{"port": 9090, "unit": "docker.service", "program": "docker-proxy"}], "docker.service has port 9090"),
    ([{"port": 9090, "unit": "", "program": "prometheus"}], "prometheus has port 9090"),
    ([{"port": 9091, "unit": "prometheus.service", "program": "prometheus"}], "it does not listen on port 9090"),
])
def test_the_port_has_to_be_the_units_own(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], said: str) -> None:
    """Another program that answers there is none of ours."""
    monkeypatch.setattr(_host, "read_listeners", lambda: rows)
    monkeypatch.setattr(_package_program, "TAKEN_SECONDS", 0.0)
    monkeypatch.setattr(_package_program, "SECONDS", 0.0)
    assert _package_program.wait_for_port("prometheus.service", 9090) == said
