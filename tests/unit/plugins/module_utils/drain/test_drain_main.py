# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the unit calls: which services are drained, and that nothing keeps one from stopping."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _systemd
from ansible_collections.inferops.gpu.plugins.module_utils.drain import idle, main
from ansible_collections.inferops.gpu.plugins.module_utils.drain import port as filtered

CLOSE = ["drain", "close", "--unit=vllm-a.service", "--engine=http://127.0.0.1:8001", "--timeout=7"]


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str], unit: dict[str, str] | Exception, errors: list[str]) -> list[str]:
    """What was done, in its order."""
    done: list[str] = []

    def show(name: str, *properties: str) -> dict[str, str]:
        if isinstance(unit, Exception):
            raise unit
        return unit

    def close(name: str, port: int, address: str) -> list[str]:
        done.append(f"close {name} {port} {address}")
        return errors

    def open_again(name: str, port: int, address: str) -> list[str]:
        done.append(f"open {name} {port} {address}")
        return errors

    def wait(look: object, runs: object, seconds: float) -> str:
        done.append(f"wait {seconds:.0f}")
        return ""

    monkeypatch.setattr(_systemd, "show", show)
    monkeypatch.setattr(filtered, "close", close)
    monkeypatch.setattr(filtered, "open_again", open_again)
    monkeypatch.setattr(idle, "wait", wait)
    monkeypatch.setattr(main.os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", arguments)
    assert main.main() == 0
    return done


@pytest.mark.parametrize(("unit", "expected"), [
    ({"MainPID": "7", "StatusText": "serving, 2 running, 0 waiting"}, ["close vllm-a.service 8001 127.0.0.1", "wait 7"]),
    ({"MainPID": "0", "StatusText": ""}, []),
    ({"MainPID": "7", "StatusText": "serving: not answering since 2026-11-26 14:03:11 UTC (timed out), restarting in 240 s"}, []),
    (RuntimeError("systemctl show: no bus"), []),
])
def test_a_service_is_drained_if_it_can_be(unit: dict[str, str] | Exception, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended or hangs has nothing to wait for."""
    assert run(monkeypatch, CLOSE, unit, []) == expected


def test_a_port_that_stays_open_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And the service waits for its requests nevertheless."""
    done = run(monkeypatch, CLOSE, {"MainPID": "7", "StatusText": "serving"}, ["iptables: not found"])
    assert done == ["close vllm-a.service 8001 127.0.0.1", "wait 7"]
    assert "the port is not closed to new connections: iptables: not found" in capsys.readouterr().err


def test_it_opens_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["drain", "open", "--unit=vllm-a.service", "--engine=https://[::1]:8001"]
    assert run(monkeypatch, arguments, {}, []) == ["open vllm-a.service 8001 ::1"]


@pytest.mark.parametrize("action", ["close", "open"])
def test_a_temporary_unit_first_ends_the_redirect(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    """Redirected connections would otherwise be reset at its port. Other units have none."""
    ended: list[tuple[object, ...]] = []
    monkeypatch.setattr(main.redirect, "switch_back", lambda *given: ended.append(given) or [])
    monkeypatch.setattr(main.redirect, "release", lambda *given: ended.append(given) or [])
    unit = ["--unit=inferops-green-a.service", "--engine=http://127.0.0.1:18001"]
    done = run(monkeypatch, ["drain", action, *unit, "--redirected"], {"MainPID": "7", "StatusText": "serving"}, [])
    # What keeps the connections is released when the unit has stopped.
    released = [("inferops-green-a.service",)] if action == "open" else []
    assert ended == [("inferops-green-a.service",), *released] and done[0] == f"{action} inferops-green-a.service 18001 127.0.0.1"
    ended.clear()
    run(monkeypatch, CLOSE, {"MainPID": "7", "StatusText": "serving"}, [])
    assert ended == []
