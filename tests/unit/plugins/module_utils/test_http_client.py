# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The client for servers that nobody vouches for, and the questions to a Hub, against servers on this machine that mean no good."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _http_client, _hub
from ansible_collections.inferops.gpu.plugins.module_utils._http_client import HttpClient, HttpError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_verysecret"
BIG = {"type": "file", "path": "model.safetensors", "size": 135, "oid": "0" * 40, "lfs": {"oid": "0" * 64, "size": 4000}}
TREE = f"/api/models/a/b/tree/{COMMIT}"


class Server:
    """Answers by a function of the handler, and remembers what was asked: path and Authorization."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answer: Callable[[Any], None] = lambda handler: send(handler, b"{}")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                outer.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


def send(handler: Any, body: bytes, status: int = 200, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for key, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(key.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(name="other")
def _other() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_answer_without_end_is_not_read(server: Server) -> None:
    """Neither one that says how long it is, nor one that does not."""

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"[" * 65536)
        except OSError:
            pass

    server.answer = endless
    with pytest.raises(HttpError, match="longer than 100000 bytes"):
        HttpClient(10).get(server.url, limit=100_000)


@pytest.mark.parametrize("headers", [True, False])
def test_an_answer_in_drops_ends_in_time(server: Server, headers: bool) -> None:
    """A byte now and then keeps no time limit of a socket from passing; ours counts the whole."""

    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-A: " if headers else b"Content-Length: 1000\r\n\r\n"))
        try:
            for _drop in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    server.answer = drip
    began = time.monotonic()
    with pytest.raises(HttpError):
        HttpClient(1).get(server.url)
    assert time.monotonic() - began < 5


def test_an_answer_that_was_cut_off(server: Server) -> None:
    """Is no answer."""
    server.answer = lambda handler: send(handler, b"{}", Content_Length="500")
    with pytest.raises(HttpError, match="cut off"):
        HttpClient(5).get(server.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_stays_on_its_host(server: Server, other: Server, status: int) -> None:
    """A renamed private repository is found; where a redirect leads elsewhere, the token does not go along."""
    server.answer = lambda handler: send(handler, b"{}") if handler.path == "/new" else send(handler, b"", status, Location="/new")
    assert HttpClient(5).get(f"{server.url}/old", TOKEN).body == b"{}"
    assert server.asked == [("/old", f"Bearer {TOKEN}"), ("/new", f"Bearer {TOKEN}")]
    server.answer = lambda handler: send(handler, b"", status, Location=f"{other.url}/new")
    assert HttpClient(5).get(f"{server.url}/old", TOKEN).body == b"{}"
    assert other.asked == [("/new", None)]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "gopher://x", "http://", "http://[", "http://x:y/", "//"])
def test_redirects_that_lead_nowhere(server: Server, location: str) -> None:
    """No file of the host is ever an answer."""
    server.answer = lambda handler: send(handler, b"", 302, Location=location)
    with pytest.raises(HttpError):
        HttpClient(5).get(server.url, TOKEN)


def test_a_redirect_to_a_dead_host(server: Server) -> None:
    """The error says who did not answer, without the rest of the address, which may be signed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{unused.getsockname()[1]}"
        server.answer = lambda handler: send(handler, b"", 302, Location=f"http://{dead}/x?signature=s3cret")
        with pytest.raises(HttpError) as caught:
            HttpClient(5).get(server.url, TOKEN)
    assert str(caught.value).startswith(f"it redirects to {dead}: ") and "refused" in str(caught.value)
    assert TOKEN not in str(caught.value) and "s3cret" not in str(caught.value)


def test_redirects_in_a_circle(server: Server) -> None:
    """End."""
    server.answer = lambda handler: send(handler, b"", 302, Location="/")
    with pytest.raises(HttpError, match="redirects"):
        HttpClient(5).get(server.url)
    assert len(server.asked) <= _http_client.HOPS + 1


def test_never_from_https_to_http() -> None:
    """Nor is a token on its way to https at the same host lost."""
    with pytest.raises(HttpError, match="not encrypted"):
        _http_client.redirected("https://hub/x", "http://hub/x")
    assert _http_client.may_see_token("http://hub/x", "https://hub/y") and not _http_client.may_see_token("https://hub/x", "https://hub:8443/x")
    assert not _http_client.may_see_token("https://hub/x", "https://hub.evil/x")


@pytest.mark.parametrize("token", [TOKEN + "\n", f" {TOKEN}", f"{TOKEN}\r\nX: y", f"{TOKEN}é", f"{TOKEN} x", TOKEN + "\0"])
def test_a_token_that_cannot_be_sent_is_not_shown(server: Server, token: str) -> None:
    """Not in the error, and nothing is asked."""
    with pytest.raises(_hub.HubError) as caught:
        _hub.Hub(server.url, token).read_commit("a/b", "main")
    assert "weights_token" in str(caught.value) and TOKEN not in str(caught.value) + repr(caught.value.__cause__) and server.asked == []


@pytest.mark.parametrize("url", [f"http://user:{TOKEN}@[::1", f"http://user:{TOKEN}@host:port/x", f"http://ho st/{TOKEN}", f"file:///{TOKEN}", f"http://h/{TOKEN}\n"])
def test_an_address_that_is_none_is_not_shown(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(HttpError) as caught:
        HttpClient(5).get(url)
    assert TOKEN not in str(caught.value)


def test_what_a_server_says_is_one_line(server: Server) -> None:
    """Of bounded length, printable, and without the token that it was sent."""
    server.answer = lambda handler: send(handler, b"", 403, X_Error_Message=f"\x1b[31m no {TOKEN} " + "x" * 5000)
    with pytest.raises(_hub.HubError) as caught:
        _hub.Hub(server.url, TOKEN).read_commit("a/b", "main")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400 and TOKEN not in str(caught.value)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1" * 1_000_000, b"NaN", b"\xff", b"", b"{", b'"\\ud800"'])
def test_json_that_is_none(server: Server, body: bytes) -> None:
    """Nesting, numbers and bytes that cost more than they say."""
    server.answer = lambda handler: send(handler, body)
    with pytest.raises(_hub.HubError):
        _hub.Hub(server.url).read_commit("a/b", "main")


@pytest.mark.parametrize("sha", ["main", "../../etc", "0" * 39, None, 5, "f" * 40])
def test_a_commit_that_was_not_asked_for(server: Server, sha: Any) -> None:
    """No name is taken for a commit, nor another commit for the one that is pinned."""
    server.answer = lambda handler: send(handler, json.dumps({"sha": sha}).encode())
    with pytest.raises(_hub.HubError):
        _hub.Hub(server.url).read_commit("a/b", COMMIT)


class TestPages:
    """A list of files that goes on."""

    def read(self, server: Server) -> list[str]:
        """Names of the files, asked with a token."""
        return [str(file["path"]) for file in _hub.Hub(server.url, TOKEN).read_files("a/b", COMMIT, [])]

    def test_next_page_is_asked_of_the_same_endpoint(self, server: Server, other: Server) -> None:
        """Also by a mirror that hands on the Hub's own header: the token goes to no other host."""

        def answer(handler: Any) -> None:
            if "cursor=x" in handler.path:
                send(handler, json.dumps([{**BIG, "path": "second.safetensors"}]).encode())
            else:
                send(handler, json.dumps([BIG]).encode(), Link=f'<{other.url}{TREE}?recursive=true&cursor=x>; rel="next"')

        server.answer = answer
        assert self.read(server) == ["model.safetensors", "second.safetensors"]
        assert other.asked == [] and server.asked[1] == (f"{TREE}?recursive=true&cursor=x", f"Bearer {TOKEN}")

    @pytest.mark.parametrize("query", ["?recursive=true&expand=false", "?a=b", "", "?a b", "?" + "x" * 5000, "#x", "?é"])
    def test_pages_that_lead_in_circles(self, server: Server, query: str) -> None:
        """Back to themselves, or nowhere."""
        names = iter(range(10))
        link = f'<{server.url}{TREE}{query}>; rel="next"'.encode().decode("latin-1")
        server.answer = lambda handler: send(handler, json.dumps([{**BIG, "path": f"{next(names)}"}]).encode(), Link=link)
        with pytest.raises(_hub.HubError, match="file list"):
            self.read(server)
        assert len(server.asked) <= 3

    def test_pages_without_end(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have one: of pages, and of files."""
        monkeypatch.setattr(_hub, "MAX_PAGES", 5)
        server.answer = lambda handler: send(handler, b"[]", Link=f'<{TREE}?page={len(server.asked)}>; rel="next"')
        with pytest.raises(_hub.HubError, match="more than 5 pages"):
            self.read(server)
        assert len(server.asked) == 5

    @pytest.mark.parametrize(
        ("entries", "says"),
        [
            ([{**BIG, "path": "../evil"}], "'../evil' is not a valid file name"),
            ([{**BIG, "path": "a\nproxy = x"}], "line break"),
            ([BIG, BIG], "twice"),
            ([{**BIG, "lfs": {"oid": "0" * 64, "size": -5}}], "-5 is not a size"),
            ([{**BIG, "lfs": {"oid": "0" * 64, "size": True}}], "True is not a size"),
            ([{**BIG, "lfs": {"oid": "../x", "size": 5}}], "is not a sha256"),
            ([{**BIG, "lfs": None, "oid": None}], "has no hash"),
            ([{**BIG, "lfs": ["x"], "oid": "0" * 40, "size": "1"}], "'1' is not a size"),
            ([{**BIG, "path": "a"}, {**BIG, "path": "a/b"}], "a file and a folder"),
            ([BIG, "text"], "no paths and sizes"),
            ([{**BIG, "path": 5}], "an invalid path"),
            ([{**BIG, "path": "x" * 100_000}], "an invalid path"),
        ],
    )
    def test_entries_that_are_refused(self, server: Server, entries: Any, says: str) -> None:
        """By name, size, hash, and by what stands beside them."""
        server.answer = lambda handler: send(handler, json.dumps(entries).encode())
        with pytest.raises(_hub.HubError, match=says):
            self.read(server)

    def test_what_is_not_wanted_need_not_be_of_use(self, server: Server) -> None:
        """The fix that the error names works; and a plan needs only the sizes."""
        server.answer = lambda handler: send(handler, json.dumps([BIG, {**BIG, "path": "-x.txt"}]).encode())
        hub = _hub.Hub(server.url)
        with pytest.raises(_hub.HubError, match="weights_exclude"):
            hub.read_files("a/b", COMMIT, [])
        assert [file["path"] for file in hub.read_files("a/b", COMMIT, ["-*"])] == ["model.safetensors"]
        assert hub.read_sizes("a/b", COMMIT) == [("model.safetensors", 4000)]


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", OK + b"Content-Length: x\r\n\r\n{", OK + b"Transfer-Encoding: chunked\r\n\r\nzz"]
)
def test_something_that_is_no_http(said: bytes) -> None:
    """An error of ours, and no other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(_hub.HubError):
            _hub.Hub(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5).read_commit("a/b", "main")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed here")
def test_https_with_a_certificate_of_the_site(server: Server, tmp_path: Path) -> None:
    """Trusted where it is named, and nowhere else."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    assert HttpClient(10, [certificate.read_text()]).get(url, TOKEN).body == b"{}" and server.asked == [("/", f"Bearer {TOKEN}")]
    for trusted, said in (([], "certificate"), (["no PEM"], "host_ca_certificates")):
        with pytest.raises(HttpError, match=said):
            HttpClient(10, trusted).get(url, TOKEN)
    assert len(server.asked) == 1
