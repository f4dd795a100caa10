# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health gate: what counts as serving, by task, against a small server that answers what it is told to, or anything at all."""

from __future__ import annotations

import io
import json
import socket
import ssl
import subprocess
import threading
import time
import wave

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api, _task_checks

MODELS = {"data": [{"id": "m"}]}
NO_TEMPLATE = (400, {"error": {"message": "default chat template is no longer allowed, so you must provide a chat template"}})


def completion(content: str | None, reasoning: str | None = None) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, "reasoning": reasoning}}], "usage": {"completion_tokens": 3}}


class Server(HTTPServer):
    """Answers by path with (status, JSON), or with one after the other of a list; keeps what was posted and with which key."""

    answers: dict[str, Any]
    posted: list[tuple[str, bytes, str]]
    keys: list[str | None]

    def last(self) -> Any:
        return json.loads(self.posted[-1][1])


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        found = self.server.answers.get(self.path, (404, {"detail": "Not Found"}))
        status, body = found.pop(0) if isinstance(found, list) else found
        self.server.keys.append(self.headers.get("Authorization"))
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 302:
            self.send_header("Location", "/v1/models")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.server.posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Type"]))
        self.answer()

    def log_message(self, *args: Any) -> None:
        """Say nothing on the test's terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.answers = {"/health": (200, None), "/v1/models": (200, MODELS), "/v1/chat/completions": (200, completion("hi"))}
    found.posted, found.keys = [], []
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def verify_service(server: Server, thinking: str = "never", key: str = "", task: str = "chat", switch: str = "enable_thinking") -> dict[str, Any]:
    api = _openai_api.Api(f"http://127.0.0.1:{server.server_port}", key, 5)
    return _task_checks.verify(api, task, _task_checks.Question("m", thinking, switch))


def test_a_completion_with_content_passes(server: Server) -> None:
    answer = verify_service(server, key="secret")
    assert (answer["task"], answer["content"], answer["tokens"]) == ("chat", "hi", 3)
    assert set(server.keys) == {"Bearer secret"}


def test_no_proxy_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert verify_service(server)["content"] == "hi"


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        ("/health", (503, None), "/health answered 503"),
        ("/health", (302, None), "/health answered 302"),
        ("/v1/models", (200, {"data": [{"id": "other"}]}), "lists other and not m"),
        ("/v1/models", (200, {"data": ["m", None, 3]}), "lists nothing and not m"),
        ("/v1/models", (200, ["m"]), "did not answer with a list of data"),
        ("/v1/models", (200, None), "did not answer with a list of data"),
        ("/v1/models", (401, {"error": "Unauthorized"}), "is the service.s api_key"),
        ("/v1/chat/completions", (500, {"error": "EngineDead"}), "answered 500"),
        ("/v1/chat/completions", (200, {"object": "error"}), "did not answer with a completion"),
        ("/v1/chat/completions", (200, {"choices": {}}), "did not answer with a completion"),
        ("/v1/chat/completions", (200, {"choices": [["message"]]}), "did not answer with a completion"),
        ("/v1/chat/completions", (200, {"choices": [{"message": ["content"]}]}), "did not answer with a completion"),
        ("/v1/chat/completions", (200, {"choices": [{"message": {"content": ["a"], "reasoning": 7}}]}), "empty content$"),
        ("/v1/chat/completions", (200, completion("")), "empty content$"),
        ("/v1/chat/completions", (200, completion("  \n")), "empty content$"),
        ("/v1/chat/completions", (200, completion(None, "all of it")), "remove its reasoning_parser"),
    ],
)
def test_what_does_not_serve(server: Server, path: str, answer: tuple[int, Any], error: str) -> None:
    server.answers[path] = answer
    with pytest.raises(_openai_api.ApiError, match=error):
        verify_service(server)


@pytest.mark.parametrize("usage", [None, [], {"completion_tokens": None}, {"completion_tokens": "3"}, 7])
def test_usage_may_be_anything(server: Server, usage: Any) -> None:
    server.answers["/v1/chat/completions"] = (200, {**completion("hi"), "usage": usage})
    assert verify_service(server)["tokens"] is None


@pytest.mark.parametrize(
    ("thinking", "switch", "passes"),
    [("always", "", True), ("", "", True), ("hybrid", "", True), ("hybrid", "thinking", False), ("never", "", False)],
)
def test_a_thought_alone_counts_unless_the_model_is_known_not_to_think(server: Server, thinking: str, switch: str, passes: bool) -> None:
    """gpt-oss and its like think whatever they are told, and no catalogue knows them all."""
    server.answers["/v1/chat/completions"] = (200, completion("", "hm"))
    if passes:
        assert verify_service(server, thinking, switch=switch)["content"] == "hm"
    else:
        with pytest.raises(_openai_api.ApiError) as error:
            verify_service(server, thinking, switch=switch)
        assert ("remove its reasoning_parser" in str(error.value)) == (thinking == "never")


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_a_hybrid_model_is_asked_not_to_think_in_its_own_words(server: Server, switch: str) -> None:
    verify_service(server, "hybrid", switch=switch)
    assert server.last()["chat_template_kwargs"] == {switch: False}
    verify_service(server, "always", switch=switch)
    assert "chat_template_kwargs" not in server.last()


# Tasks

VECTOR = {"data": [{"embedding": [0.1, -0.2]}], "usage": {"prompt_tokens": 4}}
PAIR = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}], "usage": {"total_tokens": 9}}
GOOD: dict[str, tuple[str, Any, str]] = {
    "completion": ("/v1/completions", {"choices": [{"text": "\n"}], "usage": {"completion_tokens": 1}}, ""),
    "embedding": ("/v1/embeddings", VECTOR, "2 numbers"),
    "score": ("/score", {"data": [{"score": 0.25}]}, "score 0.25"),
    "rerank": ("/rerank", PAIR, "scores 0.9, 0.1"),
    "classify": ("/classify", {"data": [{"label": "spam", "probs": [0.5, 0.5]}]}, "spam of 2 classes"),
    "pooling": ("/pooling", {"data": [{"data": [[0.5, 1], [0, 0]]}]}, "2 x 2 numbers"),
    "transcription": ("/v1/audio/transcriptions", {"text": " beep ", "usage": {"type": "duration"}}, "beep"),
}


@pytest.mark.parametrize("task", GOOD)
def test_each_task_is_asked_for_what_it_does(server: Server, task: str) -> None:
    path, answer, content = GOOD[task]
    server.answers = {**server.answers, "/v1/chat/completions": (404, None), path: (200, answer)}
    assert verify_service(server, task=task)["content"] == content
    assert [posted[0] for posted in server.posted] == [path]


BAD: list[tuple[str, Any]] = [
    ("completion", {"choices": [{"text": ""}]}), ("completion", {"choices": [{"text": None}]}), ("completion", []),
    ("embedding", {"data": [{"embedding": []}]}), ("embedding", {"data": [{"embedding": [0, 0.0]}]}), ("embedding", {"data": [{"embedding": "AAAA"}]}),
    ("embedding", {"data": [{"embedding": [float("nan"), 1]}]}), ("embedding", {"data": {"embedding": [1]}}), ("embedding", {"data": [{"embedding": [True]}]}),
    ("score", {"data": [{"score": None}]}), ("score", {"data": [{"score": float("inf")}]}), ("score", {"data": []}),
    ("rerank", {"results": [{"relevance_score": 0.1}]}), ("rerank", {"results": [1, 2]}), ("rerank", {"results": None}),
    ("classify", {"data": [{"label": "spam", "probs": []}]}), ("classify", {"data": [{"probs": [[1]]}]}),
    ("pooling", {"data": [{"data": [[]]}]}), ("pooling", {"data": [{"data": []}]}), ("pooling", {"data": [[1]]}),
    ("transcription", {"text": None}), ("transcription", ["beep"]), ("transcription", None),
]


@pytest.mark.parametrize(("task", "answer"), BAD)
def test_what_is_no_answer_to_a_task(server: Server, task: str, answer: Any) -> None:
    server.answers[GOOD[task][0]] = (200, answer)
    with pytest.raises(_openai_api.ApiError):
        verify_service(server, task=task)


@pytest.mark.parametrize("task", ["chat", "completion", "embedding", "score", "classify", "pooling", "transcription"])
def test_a_task_that_nobody_knows_is_found(server: Server, task: str) -> None:
    """A base model has the path of chats, and no template for them."""
    path, answer, _content = GOOD.get(task, ("/v1/chat/completions", completion("hi"), ""))
    server.answers = {**server.answers, "/v1/chat/completions": NO_TEMPLATE, path: (200, answer)}
    assert verify_service(server, task="auto")["task"] == task


def test_a_server_that_fails_is_not_asked_for_something_else(server: Server) -> None:
    server.answers["/v1/chat/completions"] = (500, {"error": "CUDA error"})
    server.answers["/v1/embeddings"] = (200, VECTOR)
    with pytest.raises(_openai_api.ApiError, match="CUDA error"):
        verify_service(server, task="auto")


def test_who_answers_nothing_is_told_with_the_first_answer(server: Server) -> None:
    server.answers["/v1/chat/completions"] = NO_TEMPLATE
    with pytest.raises(_openai_api.ApiError, match=r"supports none of the tasks \(chat, .*default chat template"):
        verify_service(server, task="auto")


def test_a_base_model_that_takes_the_prompt_for_a_whole_text_has_to_continue(server: Server) -> None:
    """It ends at once. Only then is it told to write a token first, since not every server knows that field."""
    ended, continued = ({"choices": [{"text": text, "finish_reason": "stop"}]} for text in ("", " The"))
    server.answers["/v1/completions"] = [(200, ended), (200, continued)]
    assert verify_service(server, task="completion")["content"] == "The"
    assert [json.loads(body).get("min_tokens") for _path, body, _kind in server.posted] == [None, 1]
    server.answers["/v1/completions"] = [(200, ended), (200, ended)]
    with pytest.raises(_openai_api.ApiError, match="empty text"):
        verify_service(server, task="completion")


def test_the_tone_is_a_wave_file() -> None:
    with wave.open(io.BytesIO(_task_checks.tone())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (1, 2, 16000, 16000)


# Anything at all

Wild = Callable[[Callable[[socket.socket], None]], "_openai_api.Api"]


@pytest.fixture
def wild() -> Iterator[Wild]:
    """A server that does what it likes with a connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(answer: Callable[[socket.socket], None], seconds: float = 5, key: str = "") -> _openai_api.Api:
        def accept() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        answer(connection)
                    except OSError:
                        pass

        threading.Thread(target=accept, daemon=True).start()
        return _openai_api.Api(f"http://127.0.0.1:{listener.getsockname()[1]}", key, seconds)

    yield serve  # type: ignore[misc]
    listener.close()


def ok(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


FUZZ = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 20,
    "TLS": b"\x15\x03\x01\x00\x02\x02F",
    "half a status line": b"HTTP/1.1 20",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "cut": ok(b'{"data": [', 5000),
    "cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{",
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100000 + b"\r\n\r\n",
    "bad JSON": ok(b"{'data': []}"),
    "deep": ok(b"[" * 200000),
    "deep objects": ok(b'{"a":' * 100000),
    "a huge number": ok(b"9" * 100000),
    "latin-1": ok('{"data": "é"}'.encode("latin-1")),
    "UTF-16": ok('{"data": 1}'.encode("utf-16")),
    "a half surrogate": ok(b'{"data": "\\ud800"}'),
    "NUL": ok(b"\0" * 100),
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "an error that is cut": b"HTTP/1.1 500 No\r\nContent-Length: 999\r\n\r\n{",
    "an error in binary": b"HTTP/1.1 500 \xff\xfe\r\n\r\n\xff\xfe\x00\x1b[31m",
    "100 for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a redirect to itself": b"HTTP/1.1 307 Go\r\nLocation: /v1/models\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("body", FUZZ.values(), ids=FUZZ)
def test_whatever_is_answered_is_a_error(wild: Wild, body: bytes) -> None:
    """In words of one line, without control characters, and of a length that can be read."""
    api = wild(lambda connection: connection.sendall(body))
    with pytest.raises(_openai_api.ApiError) as error:
        _task_checks.verify(api, "chat", _task_checks.Question("m"))
    with pytest.raises(_openai_api.ApiError):
        _task_checks.verify(api, "auto", _task_checks.Question("m"))
    with pytest.raises(_openai_api.ApiError):
        [entry for entry in _task_checks._list(api.call("/x"), "data", "/x")] and api.call("/y")["z"]
    assert str(error.value).isprintable() and len(str(error.value)) < 1000, str(error.value)


def test_a_huge_answer_is_not_kept(wild: Wild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openai_api, "MOST_BYTES", 100000)
    api = wild(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 1000000))
    with pytest.raises(_openai_api.ApiError, match="longer than"):
        api.call("/x")


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"], ids=["status", "header", "body"])
def test_a_byte_now_and_then_does_not_hold_anybody(wild: Wild, before: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(before)
        for _count in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    api = wild(drip, 0.6)  # type: ignore[call-arg]
    began = time.monotonic()
    with pytest.raises(_openai_api.ApiError, match="no complete answer after 1 s"):
        api.call("/x")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("key", ["hf_secret\n", "sécret", "a\r\nX: y", "\0"])
def test_a_key_that_no_header_can_hold_is_not_shown(key: str) -> None:
    with pytest.raises(_openai_api.ApiError) as error:
        _openai_api.Api("http://127.0.0.1:9", key, 1)
    assert key not in str(error.value) and "secret" not in str(error.value)


def test_a_key_that_is_echoed_is_not_shown(wild: Wild) -> None:
    api = wild(lambda connection: connection.sendall(b"HTTP/1.1 401 No\r\n\r\nwrong key sk-very-secret"), 5, "sk-very-secret")  # type: ignore[call-arg]
    with pytest.raises(_openai_api.ApiError) as error:
        api.call("/x")
    assert "sk-very-secret" not in str(error.value)


def test_nobody_listening_is_a_error() -> None:
    with pytest.raises(_openai_api.ApiError, match="/health"):
        _openai_api.Api("http://127.0.0.1:9", "", 2).call("/health")


# TLS


class Certificate:
    """A certificate for a name, signed by an authority of its own."""

    def __init__(self, folder: Path, names: str) -> None:
        self.authority, self.chain, self.key = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
        base = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=llm.example.org"]
        made = [*base, "-keyout", str(self.key), "-out", str(self.chain), "-addext", f"subjectAltName={names}"]
        subprocess.run(made, check=True, capture_output=True)
        self.authority.write_bytes(self.chain.read_bytes())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"), "DNS:llm.example.org")


@pytest.fixture
def encrypted(server: Server, certificate: Certificate) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def ask_encrypted(server: Server, trust: _openai_api.Trust) -> Any:
    api = _openai_api.Api(f"https://127.0.0.1:{server.server_port}", "", 5, trust)
    return _task_checks.verify(api, "chat", _task_checks.Question("m"))


def test_a_certificate_for_the_hosts_name(encrypted: Server, certificate: Certificate) -> None:
    """On the host whatever it is for; from elsewhere by its name and its authority, at the host's address."""
    assert ask_encrypted(encrypted, _openai_api.Trust(verify=False))["content"] == "hi"
    assert ask_encrypted(encrypted, _openai_api.Trust(True, "llm.example.org", str(certificate.authority)))["content"] == "hi"


@pytest.mark.parametrize(
    ("name", "trusted", "error"),
    [
        ("", True, "not for 127.0.0.1 .*tls_server_name"),
        ("other.example.org", True, "not for other.example.org .*tls_server_name"),
        ("llm.example.org", False, "not trusted .*verify_ca_file"),
    ],
)
def test_a_certificate_of_somebody_else(encrypted: Server, certificate: Certificate, name: str, trusted: bool, error: str) -> None:
    with pytest.raises(_openai_api.ApiError, match=error):
        ask_encrypted(encrypted, _openai_api.Trust(True, name, str(certificate.authority) if trusted else ""))


def test_a_file_of_authorities_that_is_not_there(encrypted: Server) -> None:
    with pytest.raises(_openai_api.ApiError, match="cannot read the certificates in /nowhere/ca.pem: .*No such file"):
        ask_encrypted(encrypted, _openai_api.Trust(True, "llm.example.org", "/nowhere/ca.pem"))


def test_tls_where_there_is_none_and_none_where_there_is(wild: Wild, encrypted: Server) -> None:
    plain = wild(lambda connection: connection.sendall(ok(b"{}")))
    with pytest.raises(_openai_api.ApiError, match="TLS"):
        _openai_api.Api(f"https://127.0.0.1:{plain.port}", "", 5, _openai_api.Trust(verify=False)).call("/x")
    with pytest.raises(_openai_api.ApiError):
        _openai_api.Api(f"http://127.0.0.1:{encrypted.server_port}", "", 5).call("/x")


def test_a_handshake_that_drips(wild: Wild) -> None:
    def drip(connection: socket.socket) -> None:
        for _count in range(60):
            connection.sendall(b"\x16\x03\x03\x00\x7a"[_count % 5: _count % 5 + 1])
            time.sleep(0.1)

    plain = wild(drip)
    began = time.monotonic()
    with pytest.raises(_openai_api.ApiError):
        _openai_api.Api(f"https://127.0.0.1:{plain.port}", "", 0.5, _openai_api.Trust(verify=False)).call("/x")
    assert time.monotonic() - began < 4
