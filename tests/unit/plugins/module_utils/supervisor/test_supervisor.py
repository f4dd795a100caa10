# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of a service over several hosts, as processes of this machine: they begin together and end together, and only those of one service do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TOKEN = "a-token-that-nobody-may-see"

# A program that says where it runs and goes on until it is told to end; it leaves a child behind, which ignores that.
PROGRAM = """
import os, pathlib, signal, subprocess, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
print("program runs", flush=True)
time.sleep(600)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Span:
    """Parts of one service, each with its own directories, as its own unit would have them."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        # What a unit calls, in its place: before the words of each part.
        self.program = [str(library), "supervisor"]
        self.port = free_port()
        self.parts: dict[str, subprocess.Popen[str]] = {}

    def start(
        self, name: str, *, hub: bool = False, digest: str = "d", token: str = TOKEN, program: str = PROGRAM, script: Path | None = None, **options: Any
    ) -> None:
        """Start a part, as its unit does; O(options) are its flags."""
        for sub in ("run", "failures"):
            (self.folder / name / sub).mkdir(parents=True, exist_ok=True)
        flags = {
            "span": "big", "name": name, "backend": "mp", "digest": digest, "port": self.port, "silence": 4, "stop_timeout": 2,
            "failures": self.folder / name / "failures", **options,
        }
        for flag, value in ({"listen": "127.0.0.1"} if hub else {"hub_address": "127.0.0.1", "hub_name": "head"}).items():
            flags.setdefault(flag, value)
        words = [f"--{key.replace('_', '-')}={value}" for key, values in flags.items() for value in (values if isinstance(values, list) else [values])]
        command = [sys.executable, *(self.program if script is None else [str(script)]), "hub" if hub else "member", *words, "--"]
        command += [sys.executable, "-c", program, str(self.folder / name / "pid")]
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(self.folder / name / "run"), "SPAN_TOKEN": token}
        with (self.folder / name / "output").open("a") as output:
            self.parts[name] = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)

    def text(self, name: str) -> str:
        """How a part says it stands."""
        path = self.folder / name / "run" / "span.json"
        return str(json.loads(path.read_text()).get("text", "")) if path.exists() else ""

    def output(self, name: str) -> str:
        return (self.folder / name / "output").read_text()

    def pid(self, name: str) -> int:
        """The process of a part's program."""
        return int((self.folder / name / "pid").read_text())

    def runs(self, name: str) -> bool:
        """Whether a part's program runs."""
        path = self.folder / name / "pid"
        return path.exists() and alive(int(path.read_text() or 0))

    def status(self, name: str) -> int:
        """Wait for the end of a part and return its exit status."""
        return self.parts[name].wait(timeout=30)

    def failures(self, name: str) -> list[Path]:
        return sorted((self.folder / name / "failures").iterdir())

    def end(self) -> None:
        for part in self.parts.values():
            part.kill()
            part.wait()
        for name in self.parts:
            if self.runs(name):
                os.kill(self.pid(name), signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be read of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def soon(met: Callable[[], Any], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def span(tmp_path: Path, library: Path) -> Iterator[Span]:
    made = Span(tmp_path, library)
    yield made
    made.end()


# The engine of the head answers at once: its API is a server of the test.
@pytest.fixture
def engine() -> Iterator[str]:
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = answer

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def serving(span: Span, engine: str) -> Span:
    """A service over two hosts that serves."""
    span.start("head", hub=True, member=["worker"], engine=engine, what="rank 0")
    span.start("worker", what="rank 1")
    soon(lambda: span.text("worker") == "serving on head, worker" and span.runs("head") and span.runs("worker"), "it serves")
    return span


def test_begins_together(span: Span, engine: str) -> None:
    """Nothing is started until all are there, and who is missing is said."""
    span.start("head", hub=True, member=["worker"], engine=engine)
    soon(lambda: span.text("head") == "starting: waiting for node worker", "the head waits")
    assert not span.runs("head")
    span.start("worker")
    soon(lambda: span.runs("head") and span.runs("worker"), "both run")
    soon(lambda: span.text("head") == span.text("worker") == "serving on head, worker", "both say so")


def test_a_member_waits_for_its_hub(span: Span) -> None:
    """For as long as it takes, without starting anything."""
    span.start("worker")
    soon(lambda: span.text("worker").startswith(f"starting: waiting for node head (127.0.0.1:{span.port})"), "the worker waits")
    assert span.parts["worker"].poll() is None and not span.runs("worker")


def test_gives_up_with_a_name(span: Span) -> None:
    """The wait has a bound, and its message names the missing node."""
    span.start("head", hub=True, member=["worker"], join_timeout=1)
    assert span.status("head") == 1
    assert "waiting for node worker; given up after 1 s" in span.text("head")
    assert span.failures("head") == []


ENDS = ["head", "worker"]


@pytest.mark.parametrize("who", ENDS)
def test_a_program_that_ends_ends_all(serving: Span, who: str) -> None:
    """Also one that ends well: no program of the service has anything to end for. Neither outlives the other."""
    os.kill(serving.pid(who), signal.SIGKILL)
    assert serving.status("head") == 1 and serving.status("worker") == 1
    assert not serving.runs("head") and not serving.runs("worker")


@pytest.mark.parametrize("who", ENDS)
def test_a_supervisor_that_is_killed_ends_all(serving: Span, who: str) -> None:
    """The other side ends its own program; what the killed one has left is for systemd, which knows the control group."""
    other = "worker" if who == "head" else "head"
    serving.parts[who].kill()
    assert serving.status(other) == 1 and not serving.runs(other)
    assert serving.text(other).startswith(f"failed: node {who}")


@pytest.mark.parametrize("who", ENDS)
def test_silence_ends_all(serving: Span, who: str) -> None:
    """A host that is cut off says nothing any more, and no connection breaks."""
    other = "worker" if who == "head" else "head"
    serving.parts[who].send_signal(signal.SIGSTOP)
    assert serving.status(other) == 1 and not serving.runs(other)
    assert "timed out" in serving.text(other)


def test_missing_since(serving: Span) -> None:
    """The next life of the head says which node is missing, and since when, until it is there again."""
    serving.parts["worker"].kill()
    serving.status("head")
    os.kill(serving.pid("worker"), signal.SIGKILL)
    serving.start("head", hub=True, member=["worker"])
    soon(lambda: serving.text("head").startswith("degraded: node worker missing since 20"), "it says so")
    since = serving.text("head")
    serving.parts["head"].kill()
    serving.parts["head"].wait()
    serving.start("head", hub=True, member=["worker"])
    time.sleep(1.5)
    assert serving.text("head") == since, "since when is kept over lives"


def test_comes_again_before_its_silence_was_noticed(span: Span, engine: str) -> None:
    """A host that was rebooted quickly: its part connects anew while the hub still has the former connection."""
    span.start("head", hub=True, member=["worker"], engine=engine, silence=60)
    span.start("worker", silence=60)
    soon(lambda: span.text("worker").startswith("serving"), "it serves")
    span.parts["worker"].send_signal(signal.SIGSTOP)
    former = span.parts.pop("worker")
    began = time.monotonic()
    span.start("worker", silence=60)
    assert span.status("head") == 1 and time.monotonic() - began < 15
    assert "node worker was started again" in span.text("head")
    former.kill()
    former.wait()


def test_another_plan_is_refused(span: Span) -> None:
    """Two nodes with different plans do not serve together; the one that comes with the right plan is let in."""
    span.start("head", hub=True, member=["worker"])
    span.start("worker", digest="other")
    soon(lambda: "worker: it runs another plan of the service" in span.text("head"), "the head says so")
    assert span.parts["worker"].poll() is None and "another plan" in span.text("worker")
    span.parts["worker"].kill()
    span.start("worker")
    soon(lambda: span.runs("worker"), "the right one is let in")


STRANGERS = [
    ("worker", {"token": "another"}, "somebody without the token"),
    ("worker", {"span": "other"}, "somebody without the token"),
    ("third", {}, "no such node"),
]


@pytest.mark.parametrize(("name", "options", "words"), STRANGERS)
def test_strangers_are_refused(span: Span, name: str, options: dict[str, Any], words: str) -> None:
    """A node of another service, or without the token, joins nothing; nor does it start anything."""
    span.start("head", hub=True, member=["worker"])
    span.start(name, **options)
    soon(lambda: words in span.output("head"), "it is refused")
    assert not span.runs(name) and not span.runs("head")


def test_a_hub_without_the_token_is_not_joined(span: Span) -> None:
    """What listens on the hub's port may be somebody else's, who lets everybody in and tells them to start."""
    server = socket.create_server(("127.0.0.1", span.port))

    def lure() -> None:
        while True:
            connection, _address = server.accept()
            connection.sendall(b'{"protocol": 1, "nonce": "n"}\n')
            connection.makefile().readline()
            connection.sendall(b'{"life": "l", "refused": "", "code": "c"}\n{"body": "{\\"start\\": true}", "code": "c"}\n')

    threading.Thread(target=lure, daemon=True).start()
    span.start("worker")
    soon(lambda: "it does not have the token of this service" in span.text("worker"), "the worker says so")
    assert not span.runs("worker") and span.parts["worker"].poll() is None


def test_wrong_arguments_stay_wrong(span: Span) -> None:
    """Status 2 goes through to systemd, which does not try again."""
    span.start("head", hub=True, member=[], program="import sys; sys.exit(2)")
    assert span.status("head") == 2


def test_a_stop_is_no_failure(serving: Span) -> None:
    """Nothing is kept, and the others wait for the next life."""
    serving.parts["worker"].terminate()
    assert serving.status("worker") == 0 and serving.failures("worker") == []
    assert serving.status("head") == 1 and serving.failures("head") == []
    assert serving.text("head") == "stopped: node worker: it was asked to stop"


def test_whoever_is_stopped_is_named_by_the_others(serving: Span) -> None:
    """Also the hub, which says "it" of itself."""
    serving.parts["head"].terminate()
    assert serving.status("head") == 0 and serving.status("worker") == 1
    assert serving.text("worker") == "stopped: node head: it was asked to stop"


def test_the_first_failure_is_kept(span: Span) -> None:
    """Those after it leave its log alone, until it has served again; one after the other waits longer."""
    failing = "print('the cause', flush=True); import sys; sys.exit(1)"
    nobody = f"http://127.0.0.1:{free_port()}"
    span.start("head", hub=True, member=[], engine=nobody, program=failing)
    assert span.status("head") == 1
    first = span.failures("head")
    assert len(first) == 1 and "the cause" in (first[0] / "output.log").read_text()
    span.start("head", hub=True, member=[], engine=nobody, program=failing.replace("the cause", "its consequence"))
    assert span.status("head") == 1
    assert span.failures("head") == first and "consequence" not in (first[0] / "output.log").read_text()
    assert str(first[0]) in span.text("head")
    span.start("head", hub=True, member=[], engine=nobody, program=failing)
    soon(lambda: "2 tries have failed, the next one begins in 10 s" in span.output("head"), "it waits")


def test_the_token_stays_where_it_is(serving: Span) -> None:
    """Neither the program nor any output gets it; without Ray nobody needs it."""
    for name in ("head", "worker"):
        assert TOKEN not in Path(f"/proc/{serving.pid(name)}/environ").read_text()
        assert TOKEN not in Path(f"/proc/{serving.parts[name].pid}/cmdline").read_text()
        assert TOKEN not in serving.output(name)


def test_no_token_no_start(span: Span) -> None:
    span.start("head", hub=True, member=[], token="")
    assert span.status("head") == 2 and "SPAN_TOKEN is not set" in span.output("head")


# A program whose rank is a process of its own, which nobody waits for, as vLLM's and Ray's are. When it has its title the program is ready.
WITH_A_RANK = PROGRAM.replace(
    "time.sleep(600)",
    """import socket
rank = subprocess.Popen(["bash", "-c", "exec -a ray::RayWorkerProc.run sleep 600"])
pathlib.Path(sys.argv[1] + ".rank").write_text(str(rank.pid))
while not pathlib.Path(f"/proc/{rank.pid}/cmdline").read_text().startswith("ray::"):
    time.sleep(0.1)
ready = socket.create_server(("127.0.0.1", PORT))
time.sleep(600)""",
)


def test_a_killed_rank_ends_the_life(span: Span, engine: str) -> None:
    """Though its program goes on, and the engine answers."""
    span.start("head", hub=True, member="worker", engine=engine, model="m", probe_interval=1)
    port = free_port()
    span.start("worker", program=WITH_A_RANK.replace("PORT", str(port)), ready_port=f"127.0.0.1:{port}")
    soon(lambda: span.text("worker") == "serving on head, worker", "it serves")
    rank = int((span.folder / "worker" / "pid.rank").read_text())
    os.kill(rank, signal.SIGKILL)
    began = time.monotonic()
    assert span.status("worker") == span.status("head") == 1
    assert time.monotonic() - began < 20
    assert f"ray::RayWorkerProc.run (process {rank}) has ended" in span.text("head")
    [kept] = span.failures("worker")
    assert "has ended" in (kept / "output.log").read_text()
