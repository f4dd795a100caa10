# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The supervisor's probe: it asks for what the engine is there for, past proxies and certificates, and no answer ends its thread."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _liveness, _task_checks
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import probe as supervisor_probe


@pytest.fixture
def probe() -> ModuleType:
    return supervisor_probe


ANSWERS: dict[str, Any] = {
    "/health": None,
    "/v1/completions": {"choices": [{"text": "a"}]},
    "/v1/chat/completions": {"choices": [{"message": {"content": "a"}}]},
    "/v1/embeddings": {"data": [{"embedding": [1.0]}]},
    "/v1/audio/transcriptions": {"text": ""},
}


@pytest.fixture
def serve() -> Iterator[Callable[..., http.server.ThreadingHTTPServer]]:
    """Starts an engine with some of the paths, and notes who asked for what."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(*paths: str, context: ssl.SSLContext | None = None) -> http.server.ThreadingHTTPServer:
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.asked.append(self.path)  # type: ignore[attr-defined]
                body = json.dumps(ANSWERS.get(self.path)).encode()
                self.send_response(200 if self.path in (*paths, "/health") else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *words: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []  # type: ignore[attr-defined]
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def engine(probe: ModuleType, server: Any, task: str = "auto", scheme: str = "http") -> Any:
    return probe.Engine(f"{scheme}://127.0.0.1:{server.server_port}", "m", "", 2, 60, task=task)


@pytest.mark.parametrize(
    ("task", "path"),
    [("chat", "/v1/completions"), ("completion", "/v1/completions"), ("embedding", "/v1/embeddings"), ("transcription", "/v1/audio/transcriptions")],
)
def test_it_asks_for_what_the_engine_is_there_for(probe: ModuleType, serve: Any, task: str, path: str) -> None:
    server = serve(path)
    assert engine(probe, server, task).look() == ("well", "")
    assert [asked for asked in server.asked if asked != "/metrics"] == [path]


def test_a_server_that_completes_no_text_is_asked_for_a_chat(probe: ModuleType, serve: Any) -> None:
    """As C(transformers serve) does; otherwise nothing would ever be asked of it."""
    server = serve("/v1/chat/completions")
    found = engine(probe, server, "chat")
    assert [found.look(), found.look()] == [("well", "")] * 2
    assert [path for path in server.asked if path != "/metrics"] == ["/v1/completions", "/v1/chat/completions", "/v1/chat/completions"]


def test_what_nobody_knows_is_found_once(probe: ModuleType, serve: Any) -> None:
    server = serve("/v1/audio/transcriptions")
    found = engine(probe, server)
    assert [found.look()[0], found.look()[0]] == ["well", "well"]
    asked = [path for path in server.asked if path != "/metrics"]
    assert asked[-2:] == ["/v1/audio/transcriptions"] * 2 and asked.count("/v1/completions") == 1


def test_no_proxy_is_asked(probe: ModuleType, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = engine(probe, serve("/v1/completions"))
    assert found.is_up() and found.look()[0] == "well"


def test_a_certificate_for_another_name(probe: ModuleType, serve: Any, tmp_path: Path) -> None:
    """None is for this address."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=llm.example.org", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    found = engine(probe, serve("/v1/completions", context=context), scheme="https")
    assert found.is_up() and found.look()[0] == "well"


FUZZ = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    "a list": b"HTTP/1.1 200 OK\r\n\r\n[1]",
    "no usage": b'HTTP/1.1 200 OK\r\n\r\n{"choices": [{"text": "a"}], "usage": null}',
    "deep": b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200000,
    "latin-1": b"HTTP/1.1 200 OK\r\n\r\n\xe9",
    "counters": b"HTTP/1.1 200 OK\r\n\r\nvllm:prompt_tokens_total 1e\n" * 9,
}


@pytest.mark.parametrize("body", FUZZ.values(), ids=FUZZ)
def test_whatever_is_answered_is_a_verdict(probe: ModuleType, body: bytes) -> None:
    """An exception would end the thread that watches, and a later hang would never be noticed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(body)
                except OSError:
                    pass

    threading.Thread(target=accept, daemon=True).start()
    found = probe.Engine(f"http://127.0.0.1:{listener.getsockname()[1]}", "m", "", 2, 60)
    assert found.is_up() in (True, False)
    assert found.look()[0] in ("well", "busy", "unwell")
    listener.close()


def test_not_even_an_error_of_its_own_ends_it(probe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe.Engine("http://127.0.0.1:9", "m", "", 2, 60)
    monkeypatch.setattr(_task_checks, "ask", lambda *words: 1 / 0)
    verdict, why = found.look()
    assert verdict == "unwell" and "ZeroDivisionError" in why


@pytest.mark.parametrize(("share", "verdict"), [(0.5, "busy"), (0.01, "dead")])
def test_without_counters_cpu_time_counts(probe: ModuleType, share: float, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers answers one request after the other: a long one before the probe's own is no hang."""
    monkeypatch.setattr(probe.metrics, "SECONDS", 0.1)
    monkeypatch.setattr(_liveness, "_METRICS_SECONDS", 0.1)
    listener = socket.create_server(("127.0.0.1", 0))
    now = [1000.0]
    found = probe.Engine(f"http://127.0.0.1:{listener.getsockname()[1]}", "m", "", 0.1, 60, lambda: now[0], "chat", lambda: share * now[0])
    now[0] += 61
    assert found.look()[0] == verdict
    listener.close()
