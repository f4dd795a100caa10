# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hangs is told from what is busy, by an engine's own counters; the one is restarted once, the other never."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time

from collections.abc import Iterator
from typing import Any

import pytest

from ansible.module_utils.testing import patch_module_args
from ansible_collections.inferops.gpu.plugins.filter.healing import heal_errors, heal_lines
from ansible_collections.inferops.gpu.plugins.module_utils import _liveness, _service, _systemd
from ansible_collections.inferops.gpu.plugins.modules import service_heal


class Engine:
    """How it answers a chat (status and body, or None for never), and its counters."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] | None = (200, {"choices": [{"message": {"content": "hi"}}]})
        self.steps = 0
        self.works = False
        self.has_metrics = True
        self.has_counters = True


@pytest.fixture
def engine() -> Iterator[tuple[str, Engine]]:
    state = Engine()
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.steps += state.works
            # What only the server counts moves with each request, and says nothing of the engine.
            text = f'http_requests_total {time.monotonic()}\nvllm:iteration_tokens_total_count{{engine="0"}} {state.steps}.0\nvllm:num_requests_running 1.0\n'
            self.reply(200 if state.has_metrics else 404, text.encode() if state.has_counters else text.partition("vllm:")[0].encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if state.answer is None:
                ended.wait(10)
                return
            self.reply(state.answer[0], json.dumps(state.answer[1]).encode())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", state
    ended.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_liveness, "LOOK_SECONDS", 0.1)


def state(url: str, seconds: float = 0.6) -> str:
    return _liveness.state_of(url, "", "m", "chat", seconds)[0]


EMPTY = {"choices": [{"message": {"content": ""}}]}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, EMPTY, "empty content"), (200, {"choices": []}, "did not answer with"), (200, None, "did not answer with"), (302, {}, "302"),
        (400, {"error": "no chat template"}, "no chat template"), (401, {"error": "Unauthorized"}, "api_key"), (404, {}, "404"), (499, {}, "499"),
    ],
)
@pytest.mark.parametrize("task", ["chat", "auto"])
def test_who_answers_and_who_is_asked_wrongly_is_left_alone(engine: tuple[str, Engine], status: int, body: Any, words: str, task: str) -> None:
    """Another start would answer the same. What is wrong with the answer is said."""
    url, found = engine
    assert state(url, 30) == "answers"
    found.answer = (status, body)
    verdict, why = _liveness.state_of(url, "", "m", task, 30)
    assert verdict == "answers" and words in why


def test_who_fails_is_broken(engine: tuple[str, Engine]) -> None:
    url, found = engine
    found.answer = (500, {"error": "EngineDead"})
    assert state(url) == "broken"
    assert state("http://127.0.0.1:9") == "broken"


def test_who_neither_answers_nor_makes_a_step_hangs(engine: tuple[str, Engine]) -> None:
    """As with the engine's process stopped: the server still gives its metrics, with what the engine said last."""
    url, found = engine
    found.answer = None
    assert _liveness.state_of(url, "", "m", "chat", 0.6) == ("hangs", "no answer and no step of the engine for 1 s")


@pytest.mark.parametrize(
    ("readings", "verdict", "words"),
    [
        ([10.0, 70.0], "unknown", "60.0 s of CPU time"), ([10.0, 10.001], "hangs", "0.0 s of CPU time"), ([None, None], "unknown", "systemd"),
        ([10.0, None], "unknown", "systemd"), ([10.0, 1.0], "unknown", "systemd"),
    ],
)
@pytest.mark.parametrize("has_metrics", [True, False])
def test_who_counts_nothing_hangs_when_its_processes_rest(
    engine: tuple[str, Engine], readings: list[Any], verdict: str, words: str, has_metrics: bool
) -> None:
    """With disable_log_stats, and with Transformers, no counter tells a long queue from an engine that hangs."""
    url, found = engine
    found.answer, found.has_metrics, found.has_counters = None, has_metrics, False
    left = iter(readings)
    told = _liveness.state_of(url, "", "m", "chat", 0.6, lambda: next(left))
    assert told[0] == verdict and words in told[1] and "no counter" in told[1]


def test_a_server_that_does_not_even_give_its_metrics_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its processes do: it takes connections and says nothing."""
    monkeypatch.setattr(_liveness, "_METRICS_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert _liveness.state_of(url, "", "m", "chat", 0.6, time.monotonic)[0] == "hangs"


@pytest.mark.parametrize(
    ("said", "seconds"), [("1500000000", 1.5), ("0", 0.0), ("[not set]", None), ("", None), (str(2**64 - 1), None), (RuntimeError("no systemd"), None)]
)
def test_processor_time_of_a_unit(monkeypatch: pytest.MonkeyPatch, said: Any, seconds: Any) -> None:
    def systemctl(*_words: str) -> str:
        if isinstance(said, Exception):
            raise said
        return f"CPUUsageNSec={said}\n"

    monkeypatch.setattr(_systemd, "systemctl", systemctl)
    assert _systemd.cpu_seconds("vllm-a.service") == seconds


def test_who_makes_steps_is_busy(engine: tuple[str, Engine]) -> None:
    """However long a request waits."""
    url, found = engine
    found.answer, found.works = None, True
    assert state(url, 30) == "busy"


def heal(capsys: pytest.CaptureFixture[str], *services: dict[str, Any], check: bool = False) -> dict[str, Any]:
    with patch_module_args({"services": list(services), "stall_timeout": 1, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        service_heal.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("check", [False, True])
def test_only_what_hangs_is_restarted(engine: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool) -> None:
    done: list[tuple[str, str]] = []
    monkeypatch.setattr(_service.Service, "do", lambda self, action: done.append((self.unit, action)))
    url, found = engine
    rows = [{"name": name, "unit": f"vllm-{name}.service", "environment_file": "/e", "url": url, "model": "m"} for name in ("a",)]
    assert heal(capsys, *rows, check=check)["changed"] is False and done == []
    found.answer = None
    result = heal(capsys, *rows, check=check)
    assert (result["changed"], result["restarted"], result["states"]["a"]["state"]) == (True, ["a"], "hangs")
    assert done == ([] if check else [("vllm-a.service", "restart")])
    found.works = True
    done.clear()
    assert heal(capsys, *rows)["restarted"] == [] and done == []
    found.has_counters = False
    monkeypatch.setattr(_systemd, "cpu_seconds", lambda unit: time.monotonic() if unit == "vllm-a.service" else None)
    result = heal(capsys, *rows)
    assert (result["changed"], result["restarted"], result["states"]["a"]["state"]) == (False, [], "unknown") and done == []
    monkeypatch.setattr(_systemd, "cpu_seconds", lambda unit: 5.0)
    assert heal(capsys, *rows)["restarted"] == ["a"]


def test_what_is_said_of_each() -> None:
    failing = {name: f"{name} does not serve" for name in "abcdef"}
    healed = {
        "restarted": ["a", "b"],
        "states": {
            "a": {"state": "hangs", "why": "no step"}, "b": {"state": "broken", "why": "500"}, "c": {"state": "busy", "why": ""},
            "d": {"state": "answers", "why": "it answers on its own host"}, "f": {"state": "unknown", "why": "no counter"},
        },
    }
    found = heal_errors(failing, healed, {"b": "ValueError: no"})
    assert list(found) == ["b", "c", "d", "e", "f"]
    assert "not restarted, since the run cannot determine whether it hangs: no counter" in found["f"] and "disable_log_stats" in found["f"]
    assert "was restarted once and failed the health gate:\nValueError: no" in found["b"]
    assert "not restarted: its engine is busy" in found["c"] and "it answers on its own host" in found["d"] and "supervisor" in found["e"]
    assert heal_lines(failing, healed, found) == ["a was restarted: no step; it passed the health gate", "b was restarted: 500; it failed the health gate"]
