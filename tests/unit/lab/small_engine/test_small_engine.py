# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's small engine on this machine: a right answer passes through all ranks, and it ends as vLLM does.

The tests of the supervisor rely on that: an engine that answers with a rank missing would pass them all.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[4] / "lab" / "small_engine"
sys.path.insert(0, str(SOURCE))

from small_engine import answers  # noqa: E402

KEY = "sk-test-1"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


@dataclass
class Service:
    """An engine with a rank on each of two nodes: C(head) has the API, C(worker) is headless."""

    port: int
    head: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]
    file: Path

    def call(self, path: str, body: Any = None, key: str = KEY, timeout: float = 10) -> Any:
        """The answer to a request. Raises HTTPError and TimeoutError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text.startswith(b"{") else text

    def complete(self, prompt: str, timeout: float = 10) -> str:
        """A completion of three tokens."""
        text: str = self.call("/v1/completions", {"model": "pair", "prompt": prompt, "max_tokens": 3}, timeout=timeout)["choices"][0]["text"]
        return text

    def misbehave(self, **settings: Any) -> None:
        """Have it misbehave. Replaces the file in one step: the engine may read it at any time."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(settings), encoding="utf-8")
        new.replace(self.file)


@pytest.fixture
def vllm(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts C(vllm serve) from the contents of the wheel, with a setproctitle that does nothing."""
    subprocess.run([sys.executable, SOURCE / "make_wheels.py", tmp_path / "wheels"], check=True)
    for wheel in (tmp_path / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "site" / "setproctitle.py").write_text("def setproctitle(title):\n    pass\n", encoding="utf-8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"max_position_embeddings": 512}', encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "SMALL_ENGINE_MISBEHAVIOUR": str(tmp_path / "misbehaviour.json"), "VLLM_API_KEY": KEY}
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from small_engine.main import main; main()", "serve", str(tmp_path / "model"), *arguments]
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            # A process group of its own: the engine's processes may outlive their parent.
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@pytest.fixture
def service(vllm: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> Service:
    """A service that serves."""
    port = free_port()
    nodes = ("--pipeline-parallel-size=2", "--nnodes=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}")
    head = vllm("--host=127.0.0.1", f"--port={port}", "--served-model-name", "pair", *nodes, "--node-rank=0")
    found = Service(port, head, vllm(*nodes, "--node-rank=1", "--headless"), tmp_path / "misbehaviour.json")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and head.poll() is None:
        try:
            found.call("/health")
            return found
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError((tmp_path / "0.log").read_text(encoding="utf-8"))


def test_an_answer_passes_through_both_ranks(service: Service) -> None:
    """Text and chat; the engine's counters count it."""
    assert service.complete("one") == answers.expected("one", ranks=2, tokens=3) != answers.expected("one", ranks=1, tokens=3)
    chat = service.call("/v1/chat/completions", {"messages": [{"role": "user", "content": "two"}], "max_tokens": 3})
    assert chat["choices"][0]["message"]["content"] == answers.expected("two", ranks=2, tokens=3).strip()
    assert [model["id"] for model in service.call("/v1/models")["data"]] == ["pair"]
    assert b"vllm:generation_tokens_total" in (metrics := service.call("/metrics")) and b" 6.0\n" in metrics


@pytest.mark.parametrize(("path", "body", "key", "status"), [
    ("/v1/models", None, "sk-other", 401),
    ("/v1/completions", {"model": "pair", "prompt": "one"}, "sk-other", 401),
    ("/v1/completions", {"model": "another", "prompt": "one"}, KEY, 404),
    ("/v1/completions", {"model": "pair"}, KEY, 400),
    ("/v1/completions", {"model": "pair", "prompt": "one", "max_tokens": 512}, KEY, 400),
    ("/v1/other", {}, KEY, 404),
])
def test_it_refuses(service: Service, path: str, body: Any, key: str, status: int) -> None:
    """What vLLM refuses, with its status."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        service.call(path, body, key)
    assert refused.value.code == status


def test_a_dead_engine_ends_the_server_with_status_0(service: Service) -> None:
    """As vLLM does. Its local rank stays, so the supervisor has to end it."""
    [engine] = children(service.head.pid)
    os.kill(engine, signal.SIGKILL)
    assert service.head.wait(60) == 0


def test_a_lost_rank_is_waited_for(service: Service) -> None:
    """No answer, while /health is 200: the rank of the other node is gone, and neither side ends."""
    os.kill(children(service.worker.pid)[0], signal.SIGKILL)
    assert service.worker.wait(60) == 1
    with pytest.raises(TimeoutError):
        service.complete("one", timeout=1)
    assert service.call("/health") == b"" and service.head.poll() is None


def test_it_misbehaves(service: Service) -> None:
    """A status, then no answer at all; an unknown key is an error and not a test that shows nothing."""
    service.misbehave(status=500)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        service.complete("one")
    service.misbehave(ignore_sigterm=True)
    service.head.send_signal(signal.SIGTERM)
    assert service.complete("one")
    # Still deaf to the signal, which it may not have handled yet.
    service.misbehave(hang=True, ignore_sigterm=True)
    with pytest.raises(TimeoutError):
        service.complete("one", timeout=1)
    service.misbehave(exit_after=0, exit_status=7, once=True)
    assert service.head.wait(60) == service.worker.wait(60) == 7


@pytest.mark.parametrize(("arguments", "settings", "status"), [
    (["--max-modellen=5"], {}, 2),
    (["--hf-overrides={not json"], {}, 2),
    (["--max-model-len=1024"], {}, 1),
    (["--num-gpu-blocks-override=1"], {}, 1),
    ([], {"exit_at_start": 3}, 3),
    # Not for an engine that starts after the file was written.
    (["--num-gpu-blocks-override=1"], {"exit_at_start": 3, "once": True}, 1),
    ([], {"no_such_key": 1}, 1),
])
def test_a_start_that_fails(vllm: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, arguments: list[str], settings: dict[str, Any], status: int) -> None:
    """With vLLM's status: 2 for the parser, 1 for everything after it."""
    (tmp_path / "misbehaviour.json").write_text(json.dumps(settings), encoding="utf-8")
    assert vllm("--host=127.0.0.1", f"--port={free_port()}", *arguments).wait(60) == status
