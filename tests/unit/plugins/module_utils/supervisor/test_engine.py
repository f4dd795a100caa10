# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the supervisor makes of an engine's answers, and of NCCL's log."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import probe as supervisor_probe, state, transport as supervisor_transport



@pytest.fixture
def probe() -> ModuleType:
    return supervisor_probe


@pytest.fixture
def transport() -> ModuleType:
    return supervisor_transport


class Api:
    """An engine: how it answers completions (a status, or None for no answer), and how many tokens it says it has made."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.tokens = 0
        # Tokens that it makes for each answer, and while a completion waits.
        self.tokens_of_answer = 0
        self.tokens_meanwhile = 0
        self.keys: list[str | None] = []


@pytest.fixture
def api() -> Iterator[tuple[str, Api]]:
    state = Api()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b"{}"
            if self.path == "/metrics":
                body = f'# HELP x\nvllm:generation_tokens_total{{engine="0"}} {state.tokens}.0\nvllm:prompt_tokens_total{{engine="0"}} 5.0\n'.encode()
            elif self.path == "/v1/completions":
                state.keys.append(self.headers.get("Authorization"))
                self.rfile.read(int(self.headers["Content-Length"]))
                state.tokens += state.tokens_of_answer
                if state.status is None:
                    state.tokens += state.tokens_meanwhile
                    time.sleep(1)
                    return
            self.send_response(200 if self.path != "/v1/completions" else state.status or 0)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", state
    server.shutdown()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def engine(probe: ModuleType, url: str, clock: Clock) -> Any:
    return probe.Engine(url, "model", "the-key", 0.3, 60, clock)


def test_a_completion_is_well(probe: ModuleType, api: tuple[str, Api]) -> None:
    assert engine(probe, api[0], Clock()).look() == ("well", "")
    assert api[1].keys == ["Bearer the-key"]


def test_one_error_is_asked_again_and_two_are_dead(probe: ModuleType, api: tuple[str, Api]) -> None:
    found = engine(probe, api[0], Clock())
    api[1].status = 500
    assert found.look() == ("unwell", "a completion was answered with status 500")
    api[1].status = 200
    assert found.look()[0] == "well"
    api[1].status = 503
    assert [found.look()[0], found.look()[0]] == ["unwell", "dead"]


def test_who_refuses_the_question_is_well(probe: ModuleType, api: tuple[str, Api]) -> None:
    api[1].status = 404
    assert engine(probe, api[0], Clock()).look()[0] == "well"


def test_who_has_made_tokens_since_is_asked_for_nothing(probe: ModuleType, api: tuple[str, Api]) -> None:
    """After its first answer: before that, tokens alone do not show that it has started."""
    found = engine(probe, api[0], Clock())
    api[1].status, api[1].tokens = None, 7
    assert found.look()[0] == "busy" and len(api[1].keys) == 1
    api[1].tokens = 8
    assert found.look()[0] != "well" and len(api[1].keys) == 2
    api[1].status = 200
    assert found.look()[0] == "well" and len(api[1].keys) == 3
    api[1].status, api[1].tokens = None, 9
    assert found.look() == ("well", "") and len(api[1].keys) == 3
    assert found.look()[0] != "well" and len(api[1].keys) == 4


def test_its_own_answer_is_no_work_for_others(probe: ModuleType, api: tuple[str, Api]) -> None:
    """An idle engine is asked at each look, although each answer adds a token."""
    found = engine(probe, api[0], Clock())
    api[1].tokens_of_answer = 1
    assert [found.look()[0] for _look in range(3)] == ["well"] * 3 and len(api[1].keys) == 3


def test_after_an_error_of_the_gpu_tokens_count_for_nothing(probe: ModuleType, api: tuple[str, Api]) -> None:
    """It is asked, and dead without an answer, unless it makes tokens meanwhile."""
    found = engine(probe, api[0], Clock())
    found.look()
    api[1].tokens = 9
    assert found.look("CUDA error: x")[0] == "well" and len(api[1].keys) == 2
    api[1].status, api[1].tokens = None, 10
    assert found.look("CUDA error: x")[0] == "dead"
    api[1].status, api[1].tokens_meanwhile = None, 1
    assert found.look("CUDA error: x")[0] == "busy"
    api[1].tokens_meanwhile = 0
    verdict, why = found.look("CUDA error: x")
    assert verdict == "dead" and why.endswith("after CUDA error: x")


def test_who_makes_tokens_is_busy_and_who_makes_none_is_dead(probe: ModuleType, api: tuple[str, Api]) -> None:
    clock = Clock()
    found = engine(probe, api[0], clock)
    found.look()
    api[1].status, api[1].tokens_meanwhile = None, 7
    clock.now += 1000
    assert found.look()[0] == "busy"
    api[1].tokens_meanwhile = 0
    # The first reading after the timeout shows work.
    assert found.look()[0] == "well"
    clock.now += 59
    verdict, why = found.look()
    assert verdict == "unwell" and why.startswith("not answering since 20") and found.due == "restarting in 1 s"
    clock.now += 1
    verdict, why = found.look()
    assert verdict == "dead" and "no token for 60 s" in why


def test_nobody_there(probe: ModuleType) -> None:
    clock = Clock()
    found = engine(probe, "http://127.0.0.1:9", clock)
    assert not found.is_up() and found.look()[0] == "unwell"
    clock.now += 61
    assert found.look()[0] == "dead"


# As NCCL writes them (2.21 to 2.27), with what Ray and vLLM put before them.
IB = "gpu1:4321:4321 [0] NCCL INFO NET/IB : Using [0]mlx5_0:1/RoCE [1]mlx5_1:1/RoCE [RO]; OOB eth0:10.0.0.1<0>"
SOCKET = "(RayWorkerProc pid=77, ip=10.0.0.2) gpu2:77:77 [0] NCCL INFO NET/Socket : Using [0]eth0:10.0.0.2<0>"
USING_IB = "gpu1:4321:4400 [0] NCCL INFO Using network IB"
USING_SOCKET = "gpu1:4321:4400 [0] NCCL INFO Using network Socket"
NO_IB = "gpu1:4321:4321 [0] NCCL INFO NET/IB : No device found."
CHANNEL_IB = "gpu1:4321:4400 [0] NCCL INFO Channel 00/0 : 1[0] -> 0[0] [receive] via NET/IB/0/GDRDMA"
CHANNEL_SOCKET = "gpu1:4321:4400 [0] NCCL INFO Channel 01/0 : 1[0] -> 0[0] [receive] via NET/Socket/0"
CHANNEL_LOCAL = "gpu1:4321:4400 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM"
LOGS: list[tuple[str, list[str], str]] = [
    ("nothing", ["INFO 11-21 Started"], ""),
    ("RDMA", [IB, USING_IB, CHANNEL_LOCAL, CHANNEL_IB], "NET/IB"),
    ("sockets", [NO_IB, SOCKET, USING_SOCKET, CHANNEL_SOCKET], "NET/Socket"),
    ("RDMA found and not used", [IB, USING_IB, CHANNEL_SOCKET], "NET/Socket"),
    ("both", [CHANNEL_IB, CHANNEL_SOCKET], "NET/IB, NET/Socket"),
    ("found, nothing sent yet", [IB], "NET/IB"),
    ("no device", [NO_IB], ""),
]


@pytest.mark.parametrize(("lines", "used"), [case[1:] for case in LOGS], ids=[case[0] for case in LOGS])
def test_transport(transport: ModuleType, lines: list[str], used: str) -> None:
    found = transport.Transport()
    for line in lines:
        found.read(line)
    assert found.used == used
    assert found.complaint("") == ""
    assert bool(found.complaint("NET/IB")) == (used not in ("", "NET/IB"))


def test_the_complaint_names_both(transport: ModuleType) -> None:
    found = transport.Transport()
    assert [found.read(line) for line in (SOCKET, SOCKET)] == [True, False]
    assert found.complaint("NET/IB") == "NCCL uses NET/Socket ([0]eth0:10.0.0.2<0>), and the inventory expects NET/IB"


def test_shared_folders_are_emptied(tmp_path: Path) -> None:
    """And what a link in them leads to is not."""
    (tmp_path / "own" / "sub").mkdir(parents=True)
    (tmp_path / "own" / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    (tmp_path / "own" / "link").symlink_to(tmp_path / "other")
    state.empty(str(tmp_path / "own"))
    assert list((tmp_path / "own").iterdir()) == [] and (tmp_path / "other" / "file").exists()
