# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that do not serve, with the cause that their logs name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import engines
from diagnosis_builders import context, names, only, put, unit

ERROR = "(EngineCore_DP0 pid=7) ERROR 11-21 14:00:00 [core.py:866] torch.OutOfMemoryError: CUDA out of memory."


@pytest.fixture(autouse=True)
def journal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the unit's journal has."""
    lines: list[str] = []
    monkeypatch.setattr(engines._systemd, "journal", lambda unit, invocation, count: lines)
    return lines


HANGS = "serving: not answering since 2026-11-26 14:03:11 UTC (no completion), 3 running"
STATES: list[tuple[dict[str, str], list[str]]] = [
    ({}, []),
    ({"StatusText": "serving, 1 running"}, []),
    ({"StatusText": HANGS}, ["engine-hung"]),
    ({"ActiveState": "activating", "SubState": "start", "StatusText": "starting: loading weights, 43 %"}, []),
    ({"ActiveState": "activating", "SubState": "start", "NRestarts": "3"}, ["restart-loop"]),
    ({"ActiveState": "activating", "SubState": "auto-restart"}, ["restart-loop"]),
    ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, ["unit-failed"]),
    ({"ActiveState": "inactive"}, ["unit-stopped"]),
    ({"ActiveState": "inactive", "UnitFileState": "disabled"}, []),
    ({"LoadState": "masked", "ActiveState": "inactive"}, ["unit-failed"]),
]


@pytest.mark.parametrize(("properties", "expected"), STATES)
def test_states(tmp_path: Path, properties: dict[str, str], expected: list[str]) -> None:
    assert names(engines.check(context(tmp_path, unit(**properties)))) == expected


def test_since_when_it_hangs(tmp_path: Path) -> None:
    assert "since 2026-11-26 14:03:11 UTC:" in only(engines.check(context(tmp_path, unit(StatusText=HANGS)))).cause


def test_the_record_of_the_supervisor_shows_a_loop(tmp_path: Path) -> None:
    put(tmp_path, "/run/inferops-supervisor/vllm-q/state.json", '{"failed": 4}')
    found = only(engines.check(context(tmp_path, unit(ActiveState="activating", SubState="start"))))
    assert found.check == "restart-loop" and "4 times" in found.cause


@pytest.mark.parametrize(("record", "expected"), [('{"failed": 4}', ["restart-loop"]), ('{"failed": 0}', [])])
def test_between_two_starts_it_is_a_loop(tmp_path: Path, record: str, expected: list[str]) -> None:
    """The unit is then deactivating, as it is when somebody stops it: the supervisor has no failures then."""
    put(tmp_path, "/run/inferops-supervisor/vllm-q/state.json", record)
    assert names(engines.check(context(tmp_path, unit(ActiveState="deactivating", SubState="stop-post")))) == expected


def test_the_first_failures_log_has_the_cause(tmp_path: Path, journal: list[str]) -> None:
    journal.append("RuntimeError: of the journal")
    failed = unit(ActiveState="failed")
    assert only(engines.check(context(tmp_path, failed))).cause.endswith("RuntimeError: of the journal")
    put(tmp_path, "/var/lib/inferops/failures/vllm-q/2026-01-01T00:00:00Z/output.log", "ValueError: an old failure\n")
    put(tmp_path, "/var/lib/inferops/failures/vllm-q/2026-11-26T14:03:11Z/output.log", f"# the engine ended\n{ERROR}\n")
    assert only(engines.check(context(tmp_path, failed))).cause.endswith("torch.OutOfMemoryError: CUDA out of memory.")


def test_a_link_of_the_service_is_not_followed(tmp_path: Path) -> None:
    secret = put(tmp_path, "/root/secret", "RuntimeError: a secret\n")
    log = tmp_path / "var/lib/inferops/failures/vllm-q/2026-11-26T14:03:11Z/output.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(secret)
    assert "a secret" not in only(engines.check(context(tmp_path, unit(ActiveState="failed")))).cause
