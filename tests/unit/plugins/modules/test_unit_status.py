# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run reads of the units that it follows. It does not wait with a unit whose supervisor waits for a GPU."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.modules import unit_status

WAITS = "not starting: GPU 3 (GPU-3) has to be reset: the driver's recovery action is Reset; fix: reset it"
STATES = {
    "waits for a GPU": ("activating", WAITS, True), "starts": ("activating", "starting: loading weights, 43 %", False),
    # The status of the previous start, until systemd has ended it.
    "is being stopped": ("deactivating", WAITS, False), "serves": ("active", "serving", False),
}


@pytest.mark.parametrize("what", STATES)
def test_held(what: str) -> None:
    active, status, expected = STATES[what]
    assert unit_status.is_held({"ActiveState": active, "StatusText": status}) is expected


def test_the_cause_is_the_status() -> None:
    state = {"StatusText": WAITS, "Result": "success", "ExecMainCode": "", "ExecMainStatus": ""}
    assert unit_status.cause_of(state, ["failed: something of before"], True) == WAITS.partition(": ")[2]
    assert unit_status.cause_of(state, ["failed: it has ended"], False) == "it has ended"


class Systemd:
    """Units with their states, one for each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, states: dict[str, list[str]]) -> None:
        self.states = {unit: iter(found) for unit, found in states.items()}
        monkeypatch.setattr(unit_status._systemd, "systemctl", self.show)
        monkeypatch.setattr(unit_status._systemd, "journal", lambda unit, invocation, lines: [f"{unit} said this"])
        monkeypatch.setattr(unit_status.time, "sleep", lambda seconds: None)

    def show(self, command: str, properties: str, *units: str) -> str:
        """What systemctl prints: a block for each unit, without properties that have no value."""
        assert command == "show" and properties.startswith("--property=ActiveState,")
        return "\n".join(self.block(next(self.states[unit])) for unit in units)

    def block(self, active: str) -> str:
        result = "exit-code" if active == "failed" else "success"
        return f"ActiveState={active}\nLoadState=loaded\nResult={result}\nStatusText=a=b\n"


def run(capsys: pytest.CaptureFixture[str], **arguments: object) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        unit_status.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_first_of_several_units_that_ends_ends_the_wait(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them are reported as they are then."""
    Systemd(monkeypatch, {"a": ["activating"] * 3, "b": ["activating", "activating", "failed"], "c": ["activating", "activating", "active"]})
    found = run(capsys, units=[{"unit": name} for name in "abc"], wait=60)["units"]
    assert {name: (status["state"], status["ended"], status["failed_start"]) for name, status in found.items()} == {
        "a": ("activating", False, False), "b": ("failed", True, True), "c": ("active", True, False),
    }
    assert found["b"]["journal"] == ["b said this"] and found["c"]["journal"] == [] and found["a"]["status"] == "a=b"


def test_none_of_several_units_has_ended_in_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Systemd(monkeypatch, {"a": ["activating"], "b": ["activating"]})
    found = run(capsys, units=[{"unit": name} for name in "ab"])["units"]
    assert [(status["ended"], status["failed_start"]) for status in found.values()] == [(False, False)] * 2


def test_one_unit_or_several(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Systemd(monkeypatch, {"a": ["activating", "active"]})
    found = run(capsys, unit="a", wait=60)
    assert (found["state"], found["ended"], found["progress"], "units" in found) == ("active", True, {}, False)
    assert "mutually exclusive" in run(capsys, unit="a", units=[{"unit": "b"}])["msg"] and "required" in run(capsys)["msg"]
