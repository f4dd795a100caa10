# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file with the adapters of a service, and the wait for the engine."""

from __future__ import annotations

import json
import os
import stat

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _adapters, _openai_api, _systemd


def test_the_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "adapters" / "qwen.json"
    assert _adapters.write(str(path), {"b": "/w/b", "a": "/w/a"}, True) == {"before": {}, "after": {"b": "/w/b", "a": "/w/a"}} and not path.exists()
    assert _adapters.write(str(path), {"b": "/w/b", "a": "/w/a"}, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert json.loads(path.read_text(encoding="utf-8")) == {"adapters": {"a": {"path": "/w/a"}, "b": {"path": "/w/b"}}}
    before = path.stat().st_ino
    assert _adapters.write(str(path), {"a": "/w/a", "b": "/w/b"}, False) == {} and path.stat().st_ino == before
    assert _adapters.write(str(path), {}, False) == {"before": {"a": "/w/a", "b": "/w/b"}, "after": {}}
    # An empty file is a state of its own: without one the engine complains.
    path.unlink()
    assert _adapters.write(str(path), {}, False) == {"before": {}, "after": {}} and path.exists()


def test_another_mode_or_kind_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "adapters" / "qwen.json"
    _adapters.write(str(path), {"a": "/w/a"}, False)
    path.chmod(0o666)
    path.parent.chmod(0o777)
    for check_mode in (True, False):
        found = _adapters.write(str(path), {"a": "/w/a"}, check_mode)
        assert set(found["before"]) == {str(path), str(path.parent)} == set(found["after"]) and "rw-rw-rw-" in found["before"][str(path)]
        assert stat.S_IMODE(path.stat().st_mode) == (0o666 if check_mode else 0o644)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755 and _adapters.write(str(path), {"a": "/w/a"}, False) == {}
    # A link to a file with the same adapters.
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert _adapters.write(str(path), {"a": "/w/a"}, False) and not path.is_symlink()


def test_another_owner_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "adapters" / "qwen.json"
    _adapters.write(str(path), {"a": "/w/a"}, False)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    found = _adapters.write(str(path), {"a": "/w/a"}, True)
    assert found["before"][str(path)] == f"-rw-r--r-- {uid}:{os.getegid()}"


class Engine:
    """Answers of /v1/models, one after the other; the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def call(self, path: str) -> Any:
        assert path == "/v1/models"
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        base = {"id": "qwen", "root": "/w/qwen", "parent": None}
        return {"data": [base, *({"id": name, "root": root, "parent": "qwen"} for name, root in found.items())]}


@pytest.fixture(name="service")
def _service(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "qwen.json"
    file.touch()
    return {"name": "qwen", "unit": "vllm-qwen.service", "url": "http://127.0.0.1:1", "api_key": "s3cret", "file": str(file), "paths": {"a": "/w/a2"},
            "static": ["s"]}


def wait(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any], engine: Engine, journal: list[str]) -> int:
    """The number of pauses until the engine serves them."""
    times = [0.0]
    monkeypatch.setattr(_openai_api, "Api", lambda *_given: engine)
    monkeypatch.setattr(_systemd, "journal", lambda *_given: journal)
    _adapters.wait(service, 10, lambda: times[-1], lambda seconds: times.append(times[-1] + seconds))
    return len(times) - 1


def test_it_waits_for_the_directory_and_for_removals(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> None:
    engine = Engine(_openai_api.ApiError("refused"), {"a": "/w/a1"}, {"a": "/w/a2", "gone": "/w/g"}, {"a": "/w/a2", "s": "/w/s"})
    assert wait(monkeypatch, service, engine, []) == 3


def test_a_refusal_ends_the_wait_with_its_reason(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> None:
    lines = ["(APIServer pid=1) lora_adapters: a: not loaded from /w/a2: LoRA rank 32 is greater than max_lora_rank 16.", "other"]
    with pytest.raises(_adapters.NotLoaded, match=r"a \(/w/a2\): LoRA rank 32 is greater"):
        assert wait(monkeypatch, service, Engine({}), lines) < 2


def test_a_refusal_before_a_load_is_past(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> None:
    lines = ["lora_adapters: a: not loaded from /w/a2: x", "lora_adapters: a: loaded from /w/a2"]
    assert wait(monkeypatch, service, Engine({}, {"a": "/w/a2"}), lines) == 1


def test_a_reason_of_an_earlier_run_is_past(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> None:
    """The file is touched, on which the engine tries again what it has refused before."""
    os.utime(service["file"], (1000, 1000))
    asked: list[float] = []
    monkeypatch.setattr(_adapters.time, "time", lambda: 5000.0)

    def journal(_unit: str, _invocation: str, _lines: int, since: float) -> list[str]:
        asked.append(since)
        return ["lora_adapters: a: not loaded from /w/a2: Permission denied"] if since < 5000.0 else []

    monkeypatch.setattr(_openai_api, "Api", lambda *_given: engine)
    monkeypatch.setattr(_systemd, "journal", journal)
    engine = Engine({}, {}, {"a": "/w/a2"})
    _adapters.wait(service, 10, lambda: 0.0, lambda _seconds: None)
    assert asked == [5000.0, 5000.0] and os.stat(service["file"]).st_mtime > 5000.0


def test_an_engine_that_serves_them_is_left_alone(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any]) -> None:
    os.utime(service["file"], (1000, 1000))
    assert wait(monkeypatch, service, Engine({"a": "/w/a2"}), []) == 0 and os.stat(service["file"]).st_mtime == 1000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("lora_adapters: a: not loaded from /w/a: x: y", "x: y"),
        ("(APIServer pid=12) lora_adapters: a: not loaded from /w/a: x", "x"),
        ("\x1b[0;36m(APIServer pid=12)\x1b[0;0m lora_adapters: a: not loaded from /w/a: x", "x"),
        # What a client has written, in a line of the log.
        ("INFO 11-27 10:00:00 [logger.py:39] Received request: prompt: 'lora_adapters: a: not loaded from /w/a: x'", None),
        ("(APIServer pid=12) INFO 11-27 10:00:00 [logger.py:39] lora_adapters: a: not loaded from /w/a: x", None),
        ("prompt lora_adapters: a: not loaded from /w/a: x", None),
        ("lora_adapters: b: not loaded from /w/a: x", None),
        ("lora_adapters: a: not loaded from /w/a2: x", None),
    ],
)
def test_only_the_program_itself_refuses(monkeypatch: pytest.MonkeyPatch, line: str, reason: str | None) -> None:
    monkeypatch.setattr(_systemd, "journal", lambda *_given: [line])
    assert _adapters.refusals("u", {"a": "/w/a"}, 1.0) == ({} if reason is None else {"a": reason})


def test_a_longer_path_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["lora_adapters: a: not loaded from /w/a: x", "lora_adapters: a: loaded from /w/a2", "GET lora_adapters: a: loaded from /w/a"]
    monkeypatch.setattr(_systemd, "journal", lambda *_given: lines)
    assert _adapters.refusals("u", {"a": "/w/a"}, 1.0) == {"a": "x"}


@pytest.mark.parametrize(
    ("answer", "says"),
    [({}, "a (/w/a2): not listed"), ({"a": "/w/a2", "x": "/w/x"}, "x: still listed"), (_openai_api.ApiError("key s3cret is wrong", 401), "a (/w/a2): key ")],
)
def test_it_gives_up(monkeypatch: pytest.MonkeyPatch, service: dict[str, Any], answer: Any, says: str) -> None:
    with pytest.raises(_adapters.NotLoaded) as found:
        wait(monkeypatch, service, Engine(answer), [])
    assert says in str(found.value) and "s3cret" not in str(found.value) and "vllm-qwen.service" in str(found.value)
