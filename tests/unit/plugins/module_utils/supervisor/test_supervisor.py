# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The supervisors of a multi-node service, as processes of this machine: their programs start together and stop together, and only those of one service."""

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


class Service:
    """Parts of one service, each with its own directories, as its own unit would have them."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        # What a unit calls, before the options of its supervisor.
        self.program = [str(library), "supervisor"]
        self.port = free_port()
        self.units: dict[str, subprocess.Popen[str]] = {}

    def start(
        self, name: str, *, leader: bool = False, digest: str = "d", token: str = TOKEN, program: str = PROGRAM, script: Path | None = None, **options: Any
    ) -> None:
        """Start a supervisor, as its unit does; O(options) are its flags."""
        for sub in ("run", "failures"):
            (self.folder / name / sub).mkdir(parents=True, exist_ok=True)
        flags = {
            "service": "big", "name": name, "backend": "mp", "digest": digest, "port": self.port, "heartbeat_timeout": 4, "stop_timeout": 2,
            "failures": self.folder / name / "failures", **options,
        }
        for flag, value in ({"listen": "127.0.0.1"} if leader else {"leader_address": "127.0.0.1", "leader_name": "head"}).items():
            flags.setdefault(flag, value)
        words = [f"--{key.replace('_', '-')}={value}" for key, values in flags.items() for value in (values if isinstance(values, list) else [values])]
        command = [sys.executable, *(self.program if script is None else [str(script)]), "leader" if leader else "worker", *words, "--"]
        command += [sys.executable, "-c", program, str(self.folder / name / "pid")]
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(self.folder / name / "run"), "SUPERVISOR_TOKEN": token}
        with (self.folder / name / "output").open("a") as output:
            self.units[name] = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)

    def text(self, name: str) -> str:
        """The status that a supervisor reports."""
        path = self.folder / name / "run" / "state.json"
        return str(json.loads(path.read_text()).get("text", "")) if path.exists() else ""

    def output(self, name: str) -> str:
        return (self.folder / name / "output").read_text()

    def pid(self, name: str) -> int:
        """The process of a unit's program."""
        return int((self.folder / name / "pid").read_text())

    def runs(self, name: str) -> bool:
        """Whether a unit's program runs."""
        path = self.folder / name / "pid"
        return path.exists() and alive(int(path.read_text() or 0))

    def status(self, name: str) -> int:
        """Wait for the end of a supervisor and return its exit status."""
        return self.units[name].wait(timeout=30)

    def failures(self, name: str) -> list[Path]:
        return sorted((self.folder / name / "failures").iterdir())

    def end(self) -> None:
        for unit in self.units.values():
            unit.kill()
            unit.wait()
        for name in self.units:
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
def service(tmp_path: Path, library: Path) -> Iterator[Service]:
    made = Service(tmp_path, library)
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
def serving(service: Service, engine: str) -> Service:
    """A service over two hosts that serves."""
    service.start("head", leader=True, worker=["worker"], engine=engine, what="rank 0")
    service.start("worker", what="rank 1")
    soon(lambda: service.text("worker") == "serving on head, worker" and service.runs("head") and service.runs("worker"), "it serves")
    return service


def test_begins_together(service: Service, engine: str) -> None:
    """Nothing is started until all are there, and who is missing is said."""
    service.start("head", leader=True, worker=["worker"], engine=engine)
    soon(lambda: service.text("head") == "starting: waiting for node worker", "the head waits")
    assert not service.runs("head")
    service.start("worker")
    soon(lambda: service.runs("head") and service.runs("worker"), "both run")
    soon(lambda: service.text("head") == service.text("worker") == "serving on head, worker", "both say so")


def test_a_worker_waits_for_its_leader(service: Service) -> None:
    """For as long as it takes, without starting anything."""
    service.start("worker")
    soon(lambda: service.text("worker").startswith(f"starting: waiting for node head (127.0.0.1:{service.port})"), "the worker waits")
    assert service.units["worker"].poll() is None and not service.runs("worker")


def test_gives_up_with_a_name(service: Service) -> None:
    """The wait has a bound, and its message names the missing node."""
    service.start("head", leader=True, worker=["worker"], join_timeout=1)
    assert service.status("head") == 1
    assert "waiting for node worker; gave up after 1 s" in service.text("head")
    assert service.failures("head") == []


ENDS = ["head", "worker"]


@pytest.mark.parametrize("who", ENDS)
def test_a_program_that_ends_ends_all(serving: Service, who: str) -> None:
    """Also one that ends well: no program of the service has anything to end for. Neither outlives the other."""
    os.kill(serving.pid(who), signal.SIGKILL)
    assert serving.status("head") == 1 and serving.status("worker") == 1
    assert not serving.runs("head") and not serving.runs("worker")


@pytest.mark.parametrize("who", ENDS)
def test_a_supervisor_that_is_killed_ends_all(serving: Service, who: str) -> None:
    """The other side ends its own program; what the killed one has left is for systemd, which knows the control group."""
    other = "worker" if who == "head" else "head"
    serving.units[who].kill()
    assert serving.status(other) == 1 and not serving.runs(other)
    assert serving.text(other).startswith(f"failed: node {who}")


@pytest.mark.parametrize("who", ENDS)
def test_a_missed_heartbeat_ends_all(serving: Service, who: str) -> None:
    """A host that is cut off says nothing any more, and no connection breaks."""
    other = "worker" if who == "head" else "head"
    serving.units[who].send_signal(signal.SIGSTOP)
    assert serving.status(other) == 1 and not serving.runs(other)
    assert "timed out" in serving.text(other)


def test_missing_since(serving: Service) -> None:
    """The next generation of the head reports which node is missing, and since when, until it is back."""
    serving.units["worker"].kill()
    serving.status("head")
    os.kill(serving.pid("worker"), signal.SIGKILL)
    serving.start("head", leader=True, worker=["worker"])
    soon(lambda: serving.text("head").startswith("degraded: node worker missing since 20"), "it says so")
    since = serving.text("head")
    serving.units["head"].kill()
    serving.units["head"].wait()
    serving.start("head", leader=True, worker=["worker"])
    time.sleep(1.5)
    assert serving.text("head") == since, "since when is saved over generations"


def test_comes_back_before_its_heartbeat_timeout(service: Service, engine: str) -> None:
    """A host that was rebooted quickly: its worker connects while the leader still has the previous connection."""
    service.start("head", leader=True, worker=["worker"], engine=engine, heartbeat_timeout=60)
    service.start("worker", heartbeat_timeout=60)
    soon(lambda: service.text("worker").startswith("serving"), "it serves")
    service.units["worker"].send_signal(signal.SIGSTOP)
    former = service.units.pop("worker")
    began = time.monotonic()
    service.start("worker", heartbeat_timeout=60)
    assert service.status("head") == 1 and time.monotonic() - began < 15
    assert "node worker has restarted" in service.text("head")
    former.kill()
    former.wait()


def test_another_plan_is_refused(service: Service) -> None:
    """Two nodes with different plans do not form a service; the one with the leader's plan is admitted."""
    service.start("head", leader=True, worker=["worker"])
    service.start("worker", digest="other")
    soon(lambda: "worker: it runs a different plan of the service" in service.text("head"), "the head says so")
    soon(lambda: "different plan" in service.text("worker"), "so does the worker")
    assert service.units["worker"].poll() is None
    service.units["worker"].kill()
    service.start("worker")
    soon(lambda: service.runs("worker"), "the right one is let in")


UNAUTHENTICATED = [
    ("worker", {"token": "another"}, "it does not have the token of this service"),
    ("worker", {"service": "other"}, "it does not have the token of this service"),
    ("third", {}, "no such node"),
]


@pytest.mark.parametrize(("name", "options", "words"), UNAUTHENTICATED)
def test_strangers_are_refused(service: Service, name: str, options: dict[str, Any], words: str) -> None:
    """A node of another service, or without the token, joins nothing; nor does it start anything."""
    service.start("head", leader=True, worker=["worker"])
    service.start(name, **options)
    soon(lambda: words in service.output("head"), "it is refused")
    assert not service.runs(name) and not service.runs("head")


def test_a_leader_without_the_token_is_not_joined(service: Service) -> None:
    """What listens on the leader's port may be another program, which admits everybody and tells them to start."""
    server = socket.create_server(("127.0.0.1", service.port))

    def lure() -> None:
        while True:
            connection, _address = server.accept()
            connection.sendall(b'{"protocol": 1, "nonce": "n"}\n')
            connection.makefile().readline()
            connection.sendall(b'{"generation": "g", "refused": "", "code": "c"}\n{"body": "{\\"start\\": true}", "code": "c"}\n')

    threading.Thread(target=lure, daemon=True).start()
    service.start("worker")
    soon(lambda: "it does not have the token of this service" in service.text("worker"), "the worker says so")
    assert not service.runs("worker") and service.units["worker"].poll() is None


def test_wrong_arguments_stay_wrong(service: Service) -> None:
    """Status 2 goes through to systemd, which does not try again."""
    service.start("head", leader=True, worker=[], program="import sys; sys.exit(2)")
    assert service.status("head") == 2


def test_a_stop_is_no_failure(serving: Service) -> None:
    """No log is kept, and the others wait for the next generation."""
    serving.units["worker"].terminate()
    assert serving.status("worker") == 0 and serving.failures("worker") == []
    assert serving.status("head") == 1 and serving.failures("head") == []
    assert serving.text("head") == "stopped: node worker: it was stopped on request"


def test_whoever_is_stopped_is_named_by_the_others(serving: Service) -> None:
    """Also the leader, which says "it" of itself."""
    serving.units["head"].terminate()
    assert serving.status("head") == 0 and serving.status("worker") == 1
    assert serving.text("worker") == "stopped: node head: it was stopped on request"


def test_the_first_failure_is_kept(service: Service) -> None:
    """Those after it leave its log alone, until it has served again; one after the other waits longer."""
    failing = "print('the cause', flush=True); import sys; sys.exit(1)"
    nobody = f"http://127.0.0.1:{free_port()}"
    service.start("head", leader=True, worker=[], engine=nobody, program=failing)
    assert service.status("head") == 1
    first = service.failures("head")
    assert len(first) == 1 and "the cause" in (first[0] / "output.log").read_text()
    service.start("head", leader=True, worker=[], engine=nobody, program=failing.replace("the cause", "its consequence"))
    assert service.status("head") == 1
    assert service.failures("head") == first and "consequence" not in (first[0] / "output.log").read_text()
    assert str(first[0]) in service.text("head")
    service.start("head", leader=True, worker=[], engine=nobody, program=failing)
    soon(lambda: "2 starts have failed, the next attempt starts in 10 s" in service.output("head"), "it waits")


def test_a_stop_ends_the_back_off(service: Service) -> None:
    """Whoever stops and starts a failing unit, for example with a change, need not wait for the back-off. The first failure's log stays."""
    failing = "import sys; sys.exit(1)"
    nobody = f"http://127.0.0.1:{free_port()}"
    for _start in range(2):
        service.start("head", leader=True, worker=[], engine=nobody, program=failing)
        assert service.status("head") == 1
    first = service.failures("head")
    service.start("head", leader=True, worker=[], engine=nobody, program=failing)
    soon(lambda: "2 starts have failed, the next attempt starts in 10 s" in service.output("head"), "it waits")
    service.units["head"].terminate()
    assert service.status("head") == 0
    began = time.monotonic()
    service.start("head", leader=True, worker=[], engine=nobody, program=failing)
    assert service.status("head") == 1 and time.monotonic() - began < 9
    assert service.failures("head") == first


def test_the_token_stays_where_it_is(serving: Service) -> None:
    """Neither the program nor any output gets it; without Ray nobody needs it."""
    for name in ("head", "worker"):
        assert TOKEN not in Path(f"/proc/{serving.pid(name)}/environ").read_text()
        assert TOKEN not in Path(f"/proc/{serving.units[name].pid}/cmdline").read_text()
        assert TOKEN not in serving.output(name)


def test_no_token_no_start(service: Service) -> None:
    service.start("head", leader=True, worker=[], token="")
    assert service.status("head") == 2 and "SUPERVISOR_TOKEN is not set" in service.output("head")


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


def test_a_killed_rank_ends_the_generation(service: Service, engine: str) -> None:
    """Though its program goes on, and the engine answers."""
    service.start("head", leader=True, worker="worker", engine=engine, model="m", probe_interval=1)
    port = free_port()
    service.start("worker", program=WITH_A_RANK.replace("PORT", str(port)), ready_port=f"127.0.0.1:{port}")
    soon(lambda: service.text("worker") == "serving on head, worker", "it serves")
    rank = int((service.folder / "worker" / "pid.rank").read_text())
    os.kill(rank, signal.SIGKILL)
    began = time.monotonic()
    assert service.status("worker") == service.status("head") == 1
    assert time.monotonic() - began < 20
    assert f"ray::RayWorkerProc.run (process {rank}) has ended" in service.text("head")
    [kept] = service.failures("worker")
    assert "has ended" in (kept / "output.log").read_text()
