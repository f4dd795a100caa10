# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No thread of the supervisor fails unnoticed, and neither a full disk nor a signal at a bad moment stops it."""

from __future__ import annotations

import errno
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _writing
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import state as supervisor_state, threads as supervisor_threads
from test_supervisor import Service, engine, free_port, soon, service  # noqa: F401  # pylint: disable=unused-import  # the fixtures
from test_engine import probe  # noqa: F401  # pylint: disable=unused-import  # a fixture


@pytest.fixture
def state() -> ModuleType:
    return supervisor_state


@pytest.fixture
def threads() -> ModuleType:
    return supervisor_threads


def spoiled(service: Service, *lines: str) -> Path:  # noqa: F811
    """The supervisor with something in it replaced."""
    script = service.folder / "spoiled.py"
    script.write_text("\n".join([*IMPORTS.format(library=service.program[0]).splitlines(), *lines, "sys.exit(program.main())", ""]))
    return script


IMPORTS = """import sys
sys.path.insert(0, {library!r})
from inferops_gpu.supervisor import base, leader, main as program, probe, state
"""

# What raises in which thread, and how the end says so.
RAISED = {
    "the probe": ("probe.Engine.is_up = lambda self: {}['choices']", "thread that probes the program has failed: KeyError: 'choices'"),
    "the listener": (
        "leader.Leader.accept_one = lambda self, channel, address: 1 / 0",
        "the supervisor's thread that accepts workers has failed: ZeroDivisionError",
    ),
    "a connection": ("leader.admit = lambda *words: 1 / 0", "has failed: ZeroDivisionError"),
    "the output": ("leader.Leader.on_line = lambda self, line: 1 / 0", "the supervisor's thread that reads the program's output has failed: ZeroDivisionError"),
    "the main thread": ("state.State.report_serving = lambda *words: 1 / 0", "the supervisor itself has failed: ZeroDivisionError"),
    "the main thread at its beginning": ("leader.Leader.listen = lambda self: 1 / 0", "the supervisor itself has failed: ZeroDivisionError"),
}


@pytest.mark.parametrize(("line", "words"), RAISED.values(), ids=RAISED)
def test_an_unexpected_error_ends_the_generation(service: Service, engine: str, line: str, words: str) -> None:  # noqa: F811
    """The unit fails, with its program, and systemd starts the next generation; an active unit would look healthy."""
    service.start("head", leader=True, worker=["worker"], engine=engine, script=spoiled(service, line))
    service.start("worker")
    assert service.status("head") == 1
    assert words in service.text("head") and not service.runs("head")


def test_a_thread_that_hangs_ends_the_generation(service: Service, engine: str) -> None:  # noqa: F811
    """An engine that answers a byte at a time holds the probe beyond every timeout of its own."""
    line = "probe.Engine.is_up = lambda self: __import__('time').sleep(600)"
    service.start("head", leader=True, worker=[], engine=engine, probe_timeout=0.1, probe_interval=0.1, script=spoiled(service, line))
    assert service.status("head") == 1
    assert "the supervisor's thread that probes the program has sent no heartbeat for 2 s" in service.text("head")


def test_threads(threads: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = threads.Threads()
    ended = threading.Event()

    def patient(heartbeat: Any) -> None:
        heartbeat.beat(0)
        heartbeat.suspend()
        ended.wait()

    found.start("waits", patient)
    found.start("is done", lambda heartbeat: heartbeat.beat(0))
    time.sleep(0.3)
    assert found.trouble() == "", "who waits for others, and who is done, is well"
    found.start("hangs", lambda heartbeat: (heartbeat.beat(0), ended.wait()))
    time.sleep(0.3)
    assert found.trouble() == "", "who is late has some more time, since all of the process may have stood still"
    monkeypatch.setattr(threads, "GRACE_SECONDS", 0.2)
    soon(lambda: found.trouble() == "the supervisor's thread that hangs has sent no heartbeat for 0 s", "it is told")
    found = threads.Threads()
    found.start("goes on", lambda worker: None, for_ever=True)
    soon(lambda: found.trouble() == "the supervisor's thread that goes on has failed: it has ended", "an end is told where none was to be")
    ended.set()


@pytest.fixture
def api() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An engine whose answer to completions is settable, byte for byte."""
    answers = {"completion": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            self.wfile.write(answers["completion"] if self.command == "POST" else answers.get(self.path, ok))
            self.close_connection = True

        do_GET = do_POST = answer

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"
BROKEN = {
    "cut off": CUT,
    "no HTTP": b"hello\r\n\r\n",
    "a status that is none": b"HTTP/1.1 2e3 OK\r\n\r\n",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long lines": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_none_is_no_completion(api: tuple[str, dict[str, bytes]], answer: bytes, probe: ModuleType) -> None:  # noqa: F811
    url, answers = api
    answers.update({"completion": answer, "/health": answer, "/metrics": answer})
    asked = probe.Engine(url, "m", "", 5, 0)
    assert not asked.is_up()
    assert asked.look()[0] == probe.DEAD


def test_counters_that_are_none(api: tuple[str, dict[str, bytes]], probe: ModuleType) -> None:  # noqa: F811
    url, answers = api
    answers.update({"completion": CUT, "/metrics": b"HTTP/1.1 200 OK\r\n\r\nvllm:generation_tokens_total 1e.e\n"})
    assert probe.Engine(url, "m", "", 5, 0).look()[0] == probe.DEAD


def test_an_engine_that_breaks_off_is_found(service: Service, api: tuple[str, dict[str, bytes]]) -> None:  # noqa: F811
    """After an answer that was cut off the probe goes on, and ends the generation when no other answer comes."""
    url, answers = api
    service.start("head", leader=True, worker=[], engine=url, model="m", probe_interval=0.2, probe_timeout=2, liveness_timeout=1)
    soon(lambda: service.text("head") == "serving on head", "it serves")
    answers["completion"] = CUT
    assert service.status("head") == 1
    assert "is dead: no completion (" in service.text("head")


# Sends itself SIGTERM in the middle of a look at the events, with whatever lock that takes.
SIGNALLED = """
import os, signal
sys.argv = ["supervisor", "leader", "--service=s", "--name=n", "--backend=mp", "--digest=d", "--port=1", "--", "true"]
supervisor = leader.Leader(program.read_options(sys.argv[1:]))
sent = []

def trace(frame, event, argument):
    if not sent and frame.f_code.co_filename.endswith("queue.py") and event == "line" and frame.f_code.co_name == "get":
        if getattr(supervisor.events, "mutex", None) is not None and supervisor.events.mutex.locked():
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
    return trace

sys.settrace(trace)
try:
    if not hasattr(supervisor.events, "mutex"):
        os.kill(os.getpid(), signal.SIGTERM)
    supervisor.wait(lambda: False, 3, lambda: "late")
except base.Ended as ended:
    print(ended.reason)
"""


def test_a_signal_at_any_moment(service: Service) -> None:  # noqa: F811
    """Its handler runs in the main thread, which may hold the lock that the handler waits for."""
    command = [sys.executable, "-c", IMPORTS.format(library=service.program[0]) + SIGNALLED]
    environment = {**os.environ, "SUPERVISOR_TOKEN": "x"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment, check=False)
    assert done.stdout == "it was stopped on request\n", done.stderr


# A full disk

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_failures_are_counted_on_a_full_disk(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a count each generation would start at once, and fail again."""
    def full(*words: Any) -> None:
        raise FULL

    monkeypatch.setattr(state, "keep_log", full)
    first = state.State(str(tmp_path), str(tmp_path / "failures"))
    assert first.keep_failure("why", [], [], True) == "" and first.keep_failure("why", [], [], True) == ""
    assert state.State(str(tmp_path), "").failed == 2


def test_a_disk_full_of_failures(service: Service) -> None:  # noqa: F811
    """Seen from outside: the third generation backs off, whatever is wrong with the directory."""
    failing = "import sys; sys.exit(1)"
    nobody = f"http://127.0.0.1:{free_port()}"
    (service.folder / "file").write_text("no folder")
    for _generation in range(2):
        service.start("head", leader=True, worker=[], engine=nobody, program=failing, failures=service.folder / "file" / "failures")
        assert service.status("head") == 1 and "cannot keep the log of this failure" in service.output("head")
    service.start("head", leader=True, worker=[], engine=nobody, program=failing, failures=service.folder / "file" / "failures")
    soon(lambda: "2 starts have failed, the next attempt starts in 10 s" in service.output("head"), "it waits")


def test_the_state_is_kept_in_the_room_of_the_former(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a new file."""
    def full(*words: Any) -> None:
        raise FULL

    kept = state.State(str(tmp_path), "")
    kept.report("a text that is longer than the next")
    monkeypatch.setattr(_writing, "replace", full)
    kept.report("short")
    assert json.loads((tmp_path / "state.json").read_text())["text"] == "short" and kept.can_save()


def test_a_generation_without_any_room(state: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on, and the one after it knows that it does not know how many have failed."""
    def full(*words: Any) -> None:
        raise FULL

    monkeypatch.setattr(state, "keep", full)
    found = state.State(str(tmp_path), "")
    assert not found.can_save()
    found.report("starting")
    found.report("serving")
    assert found.status == "serving" and capsys.readouterr().out.count("No space left on device") == 1


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"failed": "many", "missing": [], "served": 1, "failure": null}', "[" * 100_000])
def test_a_state_that_is_none(state: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    found = state.State(str(tmp_path), "")
    assert found.failed == 0 and not found.has_served and list(found.note_missing(["a"])) == ["a"]


def test_what_lies_among_the_logs(state: ModuleType, tmp_path: Path) -> None:
    """A pipe would hold up the end of the generation for ever, a link leads out of the directory, and too many files fill the disk."""
    logs = tmp_path / "logs"
    logs.mkdir()
    os.mkfifo(logs / "pipe.log")
    (logs / "zero.log").symlink_to("/dev/zero")
    for number in range(300):
        (logs / f"{number}.log").write_text("x")
        os.utime(logs / f"{number}.log", (number, number))
    done = threading.Thread(target=state.keep_log, args=(str(tmp_path / "kept"), "why", ["\ud800"], [str(logs)]), daemon=True)
    done.start()
    done.join(timeout=20)
    assert not done.is_alive()
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert "output.log" in kept and "299.log" in kept and not kept & {"0.log", "pipe.log", "zero.log"} and len(kept) < 210


def test_one_line_for_systemd(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node says goes into the status; a line of its own would be a message of its own."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        state.State("", "").report("bad\nMAINPID=1 \ud800")
        assert b"\n" not in channel.recv(1000)


def test_a_socket_that_takes_nothing(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 is said until it was taken."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    found = state.State("", "")
    found.report_serving("serving")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        found.report_serving("serving")
        assert channel.recv(100) == b"READY=1"


def test_a_status_that_systemd_did_not_take(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent again with the next heartbeat, although it is the same; and only until it was taken."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    found = state.State("", "")
    found.report("waiting")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(0.2)
        for _heartbeat in range(2):
            found.report("waiting")
        assert channel.recv(100) == b"STATUS=waiting"
        with pytest.raises(socket.timeout):
            channel.recv(100)


def test_two_failures_at_the_same_time_of_the_clock(state: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back gives the second log the name of the first, which stays as it is."""
    import datetime
    from types import SimpleNamespace

    then = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr(state, "datetime", SimpleNamespace(datetime=SimpleNamespace(now=lambda zone: then), timezone=datetime.timezone))
    kept = [Path(state.State("", str(tmp_path)).keep_failure(reason, [], [], True)) for reason in ("the first", "the second")]
    assert [path.name for path in kept] == ["20260101T000000Z", "20260101T000000Z-2"]
    assert ["the first" in (path / "output.log").read_text() for path in kept] == [True, False]




READY = "import socket, sys, time\nready = socket.create_server(('127.0.0.1', PORT))\nprint('up', flush=True)\ntime.sleep(600)\n"


WAITS = "import pathlib, time\nwhile not pathlib.Path(HEAD).exists():\n    time.sleep(0.05)\n" + READY
PID = "import os, pathlib, sys\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"


def test_an_api_on_each_node(service: Service, engine: str) -> None:  # noqa: F811
    """All programs start at once: a node's engine answers only when the head's runs as well."""
    port = free_port()
    service.start(
        "head", leader=True, apis="all", worker=["worker"], what="rank 0", engine=engine, model="m", probe_interval=0.5,
        program=PID + "import time\ntime.sleep(600)\n",
    )
    waits = WAITS.replace("HEAD", repr(str(service.folder / "head" / "pid"))).replace("PORT", str(port))
    service.start(
        "worker", apis="all", what="rank 1", engine=engine, model="m", probe_interval=0.5, ready_port=f"127.0.0.1:{port}", program=PID + waits,
    )
    soon(lambda: all(service.text(name) == "serving on head, worker" for name in ("head", "worker")), "it serves", 60)
    os.kill(service.pid("worker"), signal.SIGKILL)
    assert service.status("head") == service.status("worker") == 1


def test_all_steps_of_ray(service: Service, engine: str) -> None:  # noqa: F811
    """Ray's head, the other nodes, the look for Ray's nodes, the engine: each in its thread, one after the other."""
    ports = [free_port(), free_port()]
    check = [sys.executable, "-c", "print('waiting for Ray\\'s node', flush=True); import sys; sys.stdout.buffer.write(b'x' * 5000 + bytes([255]))"]
    service.start(
        "head", leader=True, backend="ray", worker=["worker", "engine"], check=check, what="Ray's head", ready_port=f"127.0.0.1:{ports[0]}",
        program=READY.replace("PORT", str(ports[0])),
    )
    service.start("worker", backend="ray", what="Ray's worker", ready_port=f"127.0.0.1:{ports[1]}", program=READY.replace("PORT", str(ports[1])))
    service.start("engine", backend="ray", what="the engine", engine=engine, model="m", probe_interval=0.5)
    soon(lambda: all(service.text(name) == "serving on head, worker" for name in ("head", "worker", "engine")), "it serves", 180)
    time.sleep(2)
    assert all(unit.poll() is None for unit in service.units.values())
