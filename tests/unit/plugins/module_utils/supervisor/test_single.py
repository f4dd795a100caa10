# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The supervisor of a service on one host, as a process of this machine: it serves after its first answer, and an engine that does not answer is ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_supervisor import alive, free_port, soon

# An engine with vLLM's paths and process titles. Files in its folder change what it does: "hangs" answers /health alone, "busy" adds tokens with each
# reading of /metrics, "line" is printed. It writes its own PID, that of its engine core, and each request.
ENGINE = r'''
import ctypes, http.server, os, pathlib, signal, sys, threading, time
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def engine_core_waits_for_ever():
    time.sleep(600)

if len(sys.argv) > 3:
    (folder / "core.pid").write_text(str(os.getpid()))
    engine_core_waits_for_ever()
core = os.spawnve(os.P_NOWAIT, sys.executable, ["VLLM::EngineCore", __file__, *sys.argv[1:], "core"], os.environ)
while not (folder / "core.pid").exists():
    time.sleep(0.05)
(folder / "pid").write_text(str(os.getpid()))
print("Loading safetensors checkpoint shards:  43% Completed | 3/7", flush=True)
tokens = [0]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def answer(self):
        body = b"{}"
        with (folder / "asked").open("a") as asked:
            asked.write(self.path + "\n")
        if self.path == "/metrics":
            tokens[0] += (folder / "busy").exists()
            body = b'vllm:generation_tokens_total{engine="0"} %d.0\nvllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 0.0\n' % tokens[0]
        elif self.path == "/v1/completions":
            while (folder / "hangs").exists():
                time.sleep(0.1)
            self.rfile.read(int(self.headers["Content-Length"]))
            tokens[0] += 1
            body = b'{"choices": [{"text": "there"}], "usage": {"completion_tokens": 1}}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *words):
        pass

def print_lines():
    while True:
        if (folder / "line").exists():
            print((folder / "line").read_text(), flush=True)
            (folder / "line").unlink()
        time.sleep(0.05)

threading.Thread(target=print_lines, daemon=True).start()
while (folder / "loads").exists():
    time.sleep(0.05)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
'''


class Unit:
    """The supervisor with its engine, and what it has told systemd."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.library = library
        self.port = free_port()
        for sub in ("run", "failures", "bin"):
            (folder / sub).mkdir()
        (folder / "engine.py").write_text(ENGINE)
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(folder / "notify"))
        self.systemd.setblocking(False)
        self.notified: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str] | None = None, **options: Any) -> None:
        flags = {
            "service": "m", "name": "gpu1", "what": "the engine", "engine": f"http://127.0.0.1:{self.port}", "model": "m", "task": "chat",
            "failures": self.folder / "failures", "stop_timeout": 3, "probe_interval": 0.3, "probe_timeout": 1, "liveness_timeout": 60, **options,
        }
        words = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
        engine = [sys.executable, str(self.folder / "engine.py"), str(self.folder), str(self.port)]
        environment = {
            **os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "NOTIFY_SOCKET": str(self.folder / "notify"), "VLLM_API_KEY": "a-key-that-nobody-may-see",
        }
        with (self.folder / "output").open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(self.library), "supervisor", "single", *words, "--", *(command or engine)], env=environment, stdout=output,
                stderr=subprocess.STDOUT,
            )

    def told(self) -> list[str]:
        """Everything that systemd was told."""
        while True:
            try:
                self.notified += self.systemd.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self.notified

    @property
    def serves(self) -> bool:
        return "READY=1" in self.told()

    def status(self) -> int:
        assert self.process is not None
        return self.process.wait(timeout=40)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def asked(self, path: str) -> int:
        return (self.folder / "asked").read_text().splitlines().count(path)

    def pid(self, name: str = "pid") -> int:
        return int((self.folder / name).read_text())

    def kept(self) -> dict[str, str]:
        """The log of the first failure."""
        (folder,) = (self.folder / "failures").iterdir()
        return {path.name: path.read_text() for path in folder.iterdir()}

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for name in ("pid", "core.pid"):
            if (self.folder / name).exists() and alive(self.pid(name)):
                os.kill(self.pid(name), signal.SIGKILL)
        self.systemd.close()


@pytest.fixture
def unit(tmp_path: Path, library: Path) -> Iterator[Unit]:
    made = Unit(tmp_path, library)
    yield made
    made.end()


@pytest.fixture
def serving(unit: Unit) -> Unit:
    unit.start()
    soon(lambda: unit.serves, "it serves")
    return unit


def test_it_reports_how_far_the_start_is(unit: Unit) -> None:
    """And is ready after the first answer, not before."""
    (unit.folder / "loads").touch()
    unit.start()
    soon(lambda: "STATUS=starting: loading weights, 43 %" in unit.told(), "the progress is reported")
    assert not unit.serves
    (unit.folder / "hangs").touch()
    (unit.folder / "loads").unlink()
    soon(lambda: (unit.folder / "asked").exists() and unit.asked("/v1/completions"), "it is asked")
    assert not unit.serves
    (unit.folder / "hangs").unlink()
    soon(lambda: unit.serves, "it serves")
    soon(lambda: "STATUS=serving, 3 running, 0 waiting" in unit.told(), "its requests are shown")
    # The journal does not repeat what changes all the time.
    assert unit.output().splitlines().count("serving") == 1 and "running" not in unit.output() and "starting: loading weights\n" in unit.output()


def test_an_engine_that_works_is_asked_for_nothing(serving: Unit) -> None:
    (serving.folder / "busy").touch()
    time.sleep(1)
    before = serving.asked("/v1/completions")
    metrics = serving.asked("/metrics")
    soon(lambda: serving.asked("/metrics") >= metrics + 4, "it is watched")
    assert serving.asked("/v1/completions") == before
    (serving.folder / "busy").unlink()
    soon(lambda: serving.asked("/v1/completions") >= before + 2, "an idle engine is asked again")


def test_an_engine_that_works_and_answers_nothing_in_time_goes_on(unit: Unit) -> None:
    """Its counters move: it has long prompts before it, however long that takes."""
    unit.start(liveness_timeout=2)
    soon(lambda: unit.serves, "it serves")
    (unit.folder / "busy").touch()
    (unit.folder / "hangs").touch()
    time.sleep(6)
    assert unit.process is not None and unit.process.poll() is None


def test_an_engine_that_answers_nothing_is_ended_with_its_stacks(unit: Unit) -> None:
    """Systemd shows since when, and how long until it is ended. What its threads wait for is kept."""
    (unit.folder / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho what the GPUs are\nenv\n")
    (unit.folder / "bin" / "nvidia-smi").chmod(0o755)
    unit.start(liveness_timeout=4)
    soon(lambda: unit.serves, "it serves")
    (unit.folder / "hangs").touch()
    assert unit.status() == 1
    shown = [line for line in unit.told() if line.startswith("STATUS=serving: not answering since 20")]
    assert shown and "restarting in " in shown[-1], unit.told()
    kept = unit.kept()
    assert "is dead: no completion" in kept["output.log"].splitlines()[0]
    assert "in engine_core_waits_for_ever" in kept["output.log"] and "serve_forever" in kept["output.log"]
    assert "what the GPUs are" in kept["nvidia-smi.log"] and "nobody-may-see" not in json.dumps(kept)
    soon(lambda: not alive(unit.pid()) and not alive(unit.pid("core.pid")), "its processes have ended")


@pytest.mark.parametrize("name", ["pid", "core.pid"])
def test_a_stopped_process_is_noticed(serving: Unit, name: str) -> None:
    """Whatever it is: the API server, or the engine behind it, while /health still answers."""
    os.kill(serving.pid(name), signal.SIGSTOP)
    assert serving.status() == 1
    assert f"(process {serving.pid(name)}) has been stopped (SIGSTOP) for 5 s" in serving.kept()["output.log"]
    soon(lambda: not alive(serving.pid()) and not alive(serving.pid("core.pid")), "its processes have ended")


def test_a_process_that_is_stopped_for_a_moment(serving: Unit) -> None:
    """As a debugger does."""
    for _time in range(3):
        os.kill(serving.pid("core.pid"), signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(serving.pid("core.pid"), signal.SIGCONT)
        time.sleep(1)
    assert serving.process is not None and serving.process.poll() is None


def test_a_killed_engine_core(serving: Unit) -> None:
    os.kill(serving.pid("core.pid"), signal.SIGKILL)
    assert serving.status() == 1
    assert f"VLLM::EngineCore (process {serving.pid('core.pid')}) has ended" in serving.output()


def test_an_error_of_the_gpu_after_which_nothing_answers(unit: Unit) -> None:
    """It is asked at once, and not given the time that a busy engine has."""
    unit.start(probe_interval=300, liveness_timeout=300)
    soon(lambda: unit.serves, "it serves")
    began = time.monotonic()
    (unit.folder / "hangs").touch()
    (unit.folder / "line").write_text("RuntimeError: CUDA error: an illegal memory access was encountered")
    assert unit.status() == 1 and time.monotonic() - began < 15
    assert "after CUDA error: an illegal memory access was encountered" in unit.kept()["output.log"].splitlines()[0]


def test_an_error_of_the_gpu_after_which_it_answers(serving: Unit) -> None:
    before = serving.asked("/v1/completions")
    (serving.folder / "busy").touch()
    (serving.folder / "line").write_text("RuntimeError: CUDA error: an illegal memory access was encountered")
    soon(lambda: serving.asked("/v1/completions") > before, "it is asked although its tokens move")
    time.sleep(1)
    assert serving.process is not None and serving.process.poll() is None


@pytest.mark.parametrize(("status", "ends"), [(0, 1), (1, 1), (2, 2)])
def test_a_program_that_ends(unit: Unit, status: int, ends: int) -> None:
    """Status 0 is no success, 2 are wrong arguments, which no restart helps."""
    unit.start([sys.executable, "-c", f"print('last words'); raise SystemExit({status})"])
    assert unit.status() == ends
    assert "last words" in unit.kept()["output.log"] and not unit.serves


def test_a_stop_is_no_failure(serving: Unit) -> None:
    assert serving.process is not None
    serving.process.terminate()
    assert serving.status() == 0
    assert list((serving.folder / "failures").iterdir()) == [] and not alive(serving.pid())
    assert serving.told()[-1] == "STATUS=stopped: it was stopped on request"


def test_a_third_start_backs_off(unit: Unit) -> None:
    for _time in range(2):
        unit.start([sys.executable, "-c", "raise SystemExit(1)"])
        assert unit.status() == 1
    unit.start()
    soon(lambda: "STATUS=starting: 2 starts have failed, the next attempt starts in 10 s" in unit.told(), "it waits")
    assert not (unit.folder / "pid").exists()


def test_the_key_stays_where_it_is(serving: Unit) -> None:
    (serving.folder / "hangs").touch()
    os.kill(serving.pid("core.pid"), signal.SIGKILL)
    serving.status()
    words = [serving.output(), *serving.told(), *serving.kept().values(), (serving.folder / "run" / "state.json").read_text()]
    assert not [text for text in words if "nobody-may-see" in text]




SICK = """<nvidia_smi_log><gpu id="00000000:01:00.0"><uuid>GPU-a</uuid><gpu_recovery_action>None</gpu_recovery_action></gpu>
<gpu id="00000000:02:00.0"><uuid>GPU-b</uuid><gpu_recovery_action>Reset</gpu_recovery_action></gpu></nvidia_smi_log>"""


def smi(unit: Unit, text: str) -> None:
    """Have nvidia-smi print this, and count its calls."""
    (unit.folder / "smi.xml").write_text(text)
    program = unit.folder / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho call >>{unit.folder}/calls\nexec cat {unit.folder}/smi.xml\n")
    program.chmod(0o755)


def test_it_waits_for_a_gpu_that_has_to_be_reset(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says why, the journal once; no start counts as failed; it starts without an operator when the GPU is well."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    smi(unit, SICK)
    unit.start()
    said = "not starting: GPU 1 (GPU-b) has to be reset: the driver's recovery action is Reset; fix: "
    soon(lambda: any(line.startswith(f"STATUS={said}") for line in unit.told()), "the status says so")
    soon(lambda: (unit.folder / "calls").read_text().count("call") >= 2, "it looks again")
    assert not (unit.folder / "pid").exists() and unit.output().count("not starting") == 1
    assert "EXTEND_TIMEOUT_USEC=120000000" in unit.told()
    smi(unit, SICK.replace("Reset", "None"))
    soon(lambda: unit.serves, "it serves")
    assert json.loads((unit.folder / "run" / "state.json").read_text())["failed"] == 0 and list((unit.folder / "failures").iterdir()) == []


def test_a_stop_ends_the_wait_for_a_gpu(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    smi(unit, SICK)
    unit.start()
    soon(lambda: "not starting" in unit.output(), "it waits")
    assert unit.process is not None
    unit.process.send_signal(signal.SIGTERM)
    assert unit.status() == 0 and not (unit.folder / "pid").exists()


@pytest.mark.parametrize("gpu", ["0", ""])
def test_other_gpus_are_none_of_its_business(unit: Unit, monkeypatch: pytest.MonkeyPatch, gpu: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
    smi(unit, SICK)
    unit.start()
    soon(lambda: unit.serves, "it serves")
    assert (unit.folder / "calls").exists() is bool(gpu)
