# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vLLM's HTTP interface, as far as the project uses it, in front of the engine's process."""

from __future__ import annotations

import argparse
import http.server
import itertools
import json
import os
import queue
import threading
import time
import typing as t

from . import VERSION, misbehaviour
from .channel import Channel

# Held while the number of streams changes.
COUNTING = threading.Lock()
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


class Refused(Exception):
    """A request that is answered with an error: its HTTP status, and vLLM's type of the error."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status, self.kind = status, kind


class Engine:
    """The engine's process as the server sees it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, t.Any] | None]] = {}
        # Streams that are being sent. vLLM counts them as running until their last token.
        self.streams = 0
        self.counters = {"prompt_tokens_total": 0, "generation_tokens_total": 0, "num_requests_running": 0}
        self.died = threading.Event()

    def read(self) -> None:
        """Pass on the engine's answers until it ends. Runs in its own thread."""
        try:
            while True:
                self._take(self._channel.receive())
        except (EOFError, OSError):
            self.died.set()
            for answers in list(self._waiting.values()):
                answers.put(None)

    def _take(self, message: dict[str, t.Any]) -> None:
        self.counters["num_requests_running"] = message["running"]
        if "id" in message:
            self.counters["prompt_tokens_total"] += message["prompt"]
            self.counters["generation_tokens_total"] += message["tokens"]
            self._waiting[message["id"]].put(message)

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers, or are being answered."""
        return len(self._waiting) + self.streams

    def complete(self, prompt: str, tokens: int) -> str:
        """The engine's answer. Raises Refused when the engine ends before it."""
        number = next(self._numbers)
        answers = self._waiting[number] = queue.SimpleQueue()
        try:
            self._channel.send(id=number, prompt=prompt, tokens=tokens, prompt_tokens=len(prompt.split()))
            found = None if self.died.is_set() else answers.get()
        except OSError:
            found = None
        finally:
            del self._waiting[number]
        if found is None:
            raise Refused(500, "InternalServerError", "EngineCore encountered an issue. See stack trace (above) for the root cause.")
        text: str = found["text"]
        return text


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. C(engine) and C(options) are set by C(handler)."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    options: argparse.Namespace
    names: list[str]
    keys: list[str]

    def do_GET(self) -> None:
        """Health, version, models and metrics."""
        path = self.path.partition("?")[0]
        if path in ("/health", "/ping"):
            self.answer(503 if self.engine.died.is_set() else 200, b"")
        elif path == "/version":
            self.answer(200, {"version": VERSION})
        elif path == "/metrics":
            self.answer(200, self.metrics())
        elif not self.is_allowed(path):
            self.answer(401, {"error": "Unauthorized"})
        elif path == "/v1/models":
            found = [{"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": self.options.model_tag,
                      "max_model_len": self.options.max_model_len} for name in self.names]
            self.answer(200, {"object": "list", "data": found})
        else:
            self.answer(405 if path in (COMPLETIONS, CHAT) else 404, {"detail": "Method Not Allowed" if path in (COMPLETIONS, CHAT) else "Not Found"})

    def do_POST(self) -> None:
        """Completions."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if not self.is_allowed(path):
            self.answer(401, {"error": "Unauthorized"})
            return
        if path not in (COMPLETIONS, CHAT):
            self.answer(404, {"detail": "Not Found"})
            return
        try:
            found = self.completion(path, body)
            if json.loads(body).get("stream"):
                self.stream(path, found)
            else:
                self.answer(200, found)
        except Refused as refused:
            self.answer(refused.status, {"error": {"message": str(refused), "type": refused.kind, "param": None, "code": refused.status}})

    def is_allowed(self, path: str) -> bool:
        """Whether the request has a key, where there is one. Like in vLLM it guards /v1 alone."""
        return not self.keys or not path.startswith("/v1") or self.headers.get("Authorization") in [f"Bearer {key}" for key in self.keys]

    def completion(self, path: str, body: bytes) -> dict[str, t.Any]:
        """The answer to a request for a completion. Raises Refused."""
        try:
            asked = json.loads(body)
            model, tokens = asked.get("model"), asked.get("max_tokens") or asked.get("max_completion_tokens") or 16
            prompt = asked["prompt"] if path == COMPLETIONS else asked["messages"][-1]["content"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Refused(400, "BadRequestError", f"the request is not valid: {type(error).__name__}: {error}") from None
        if not isinstance(prompt, str) or not isinstance(tokens, int) or tokens < 1:
            raise Refused(400, "BadRequestError", "the small engine takes one text as prompt, and a positive max_tokens")
        if model is not None and model not in self.names:
            raise Refused(404, "NotFoundError", f"The model `{model}` does not exist.")
        size = len(prompt.split())
        if size + tokens > self.options.max_model_len:
            raise Refused(400, "BadRequestError", f"This model's maximum context length is {self.options.max_model_len} tokens. "
                          f"However, you requested {tokens} output tokens and your prompt contains at least {size} input tokens.")
        status = misbehaviour.get("status")
        if status:
            raise Refused(status, "InternalServerError", "the small engine answers with this status on request")
        text = self.engine.complete(prompt, tokens)
        chat = path == CHAT
        said = {"message": {"role": "assistant", "content": text.strip(), "tool_calls": []}} if chat else {"text": text}
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{os.urandom(8).hex()}", "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()), "model": self.names[0],
            "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": "length", "stop_reason": None}],
            "usage": {"prompt_tokens": size, "completion_tokens": tokens, "total_tokens": size + tokens},
        }

    def metrics(self) -> bytes:
        """The engine's counters in the format of Prometheus."""
        labels = f'{{engine="0",model_name="{self.names[0]}"}}'
        counters = {**self.engine.counters, "num_requests_running": self.engine.counters["num_requests_running"] + self.engine.streams}
        return "".join(f"vllm:{name}{labels} {float(value)}\n" for name, value in counters.items()).encode()

    def stream(self, path: str, found: dict[str, t.Any]) -> None:
        """Send an answer word by word, as server-sent events in chunks."""
        choice = found["choices"][0]
        text = choice["message"]["content"] if path == CHAT else choice["text"]
        words = [f" {word}" for word in text.split()]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with COUNTING:
            self.engine.streams += 1
        try:
            for number, word in enumerate(words):
                time.sleep(misbehaviour.get("token_delay") or 0)
                said = {"delta": {"content": word}} if path == CHAT else {"text": word}
                reason = "length" if number == len(words) - 1 else None
                self.event({**found, "object": found["object"] + (".chunk" if path == CHAT else ""), "choices": [{"index": 0, **said, "finish_reason": reason}]})
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        finally:
            with COUNTING:
                self.engine.streams -= 1

    def event(self, body: t.Any) -> None:
        """Send an event of a stream."""
        self.chunk(b"data: " + json.dumps({key: value for key, value in body.items() if key != "usage"}).encode() + b"\n\n")

    def chunk(self, data: bytes) -> None:
        """Send a chunk; an empty one ends the answer."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def answer(self, status: int, body: t.Any) -> None:
        """Send an answer: bytes, or an object as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: t.Any) -> None:  # noqa: A002  the parameter's name in the standard library
        """Like uvicorn, to standard output."""
        print(f"(APIServer pid={os.getpid()}) INFO:     {self.client_address[0]}:{self.client_address[1]} - {format % arguments}", flush=True)


class Server(http.server.ThreadingHTTPServer):
    """A server that many clients reach at once."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that has closed its connection is no error; vLLM logs none either."""


def make(engine: Engine, options: argparse.Namespace) -> Server:
    """Return the server on its port. Raises OSError when the port is in use."""
    key = os.environ.get("VLLM_API_KEY")
    values = {
        "engine": engine, "options": options, "names": options.served_model_name or [options.model_tag],
        "keys": [*(options.api_key or []), *([key] if key else [])],
    }
    return Server((options.host, options.port), type("Handler", (Handler,), values))
