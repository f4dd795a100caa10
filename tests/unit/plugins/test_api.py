# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate: what counts as serving, against a small server that answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api

MODELS = {"data": [{"id": "m"}]}


def completion(content: str | None, reasoning: str | None = None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, "reasoning": reasoning}}], "usage": {"completion_tokens": 3}}


class Server(HTTPServer):
    """Answers by path with (status, JSON); keeps what was posted and with which key."""

    answers: dict[str, tuple[int, Any]]
    posted: list[dict[str, Any]]
    keys: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        status, body = self.server.answers.get(self.path, (404, {"detail": "Not Found"}))
        self.server.keys.append(self.headers.get("Authorization"))
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer()

    def log_message(self, *args: Any) -> None:
        """Say nothing on the test's terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.answers = {"/health": (200, None), "/v1/models": (200, MODELS), "/v1/chat/completions": (200, completion("hi"))}
    found.posted, found.keys = [], []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def prove(server: Server, thinking: str = "never", key: str = "") -> dict[str, Any]:
    api = _openai_api.Api(f"http://127.0.0.1:{server.server_port}", key, 5)
    return _openai_api.prove(api, "m", thinking, "Say one word.", 16)


def test_a_completion_with_content_passes(server: Server) -> None:
    answer = prove(server, key="secret")
    assert (answer["content"], answer["tokens"]) == ("hi", 3)
    assert set(server.keys) == {"Bearer secret"}


@pytest.mark.parametrize(
    ("path", "answer", "fault"),
    [
        ("/health", (503, None), "/health answered 503"),
        ("/v1/models", (200, {"data": [{"id": "other"}]}), "names other and not m"),
        ("/v1/models", (401, {"error": "Unauthorized"}), "is api_key of the service"),
        ("/v1/chat/completions", (500, {"error": "EngineDead"}), "answered 500"),
        ("/v1/chat/completions", (200, {"object": "error"}), "something else than a completion"),
        ("/v1/chat/completions", (200, completion("")), "empty content$"),
        ("/v1/chat/completions", (200, completion("  \n")), "empty content$"),
        ("/v1/chat/completions", (200, completion(None, "all of it")), "take its reasoning_parser away"),
    ],
)
def test_what_does_not_serve(server: Server, path: str, answer: tuple[int, Any], fault: str) -> None:
    server.answers[path] = answer
    with pytest.raises(_openai_api.ApiFault, match=fault):
        prove(server)


@pytest.mark.parametrize(("thinking", "passes"), [("always", True), ("hybrid", False), ("never", False)])
def test_a_thought_alone_counts_only_for_a_model_that_always_thinks(server: Server, thinking: str, passes: bool) -> None:
    server.answers["/v1/chat/completions"] = (200, completion("", "hm"))
    if passes:
        assert prove(server, thinking)["content"] == "hm"
    else:
        with pytest.raises(_openai_api.ApiFault):
            prove(server, thinking)


def test_a_hybrid_model_is_asked_not_to_think(server: Server) -> None:
    prove(server, "hybrid")
    assert server.posted[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_nobody_listening_is_a_fault() -> None:
    with pytest.raises(_openai_api.ApiFault, match="/health"):
        _openai_api.Api("http://127.0.0.1:9", "", 2).call("/health")
