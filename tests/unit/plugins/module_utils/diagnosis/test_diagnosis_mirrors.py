# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Servers that hosts download from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import mirrors
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context
from diagnosis_builders import names

SIZE = 3 * 1024 * 1024


class Server(BaseHTTPRequestHandler):
    """A status by path; /file has three megabytes."""

    def do_GET(self) -> None:
        status = int(self.path.strip("/")) if self.path.strip("/").isdigit() else 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes 0-1048575/{SIZE}")
        self.end_headers()
        self.wfile.write(b"x" * (1024 * 1024 if status == 206 else 10))

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def found(url: str, min_rate: int = 0, **others: Any) -> list[str]:
    mirror = {"name": "the endpoint", "url": url, "setting": "weights_endpoints", **others}
    return names(mirrors.check(Context(mirrors=[mirror], min_rate=min_rate)))


@pytest.mark.parametrize(("path", "expected"), [
    ("/200", []), ("/404", []), ("/401", ["mirror-refuses"]), ("/403", ["mirror-refuses"]), ("/500", ["mirror-unreachable"]),
])
@pytest.mark.parametrize("measure", [False, True])
def test_answers(url: str, path: str, expected: list[str], measure: bool) -> None:
    assert found(url + path, measure=measure) == expected


def test_rates(url: str) -> None:
    assert found(f"{url}/file", measure=True) == []
    assert found(f"{url}/file", measure=True, min_rate=10**15) == ["mirror-slow"]


def test_nobody_answers() -> None:
    assert found("http://127.0.0.1:1/x") == ["mirror-unreachable"] == found("http://127.0.0.1:1/x", measure=True)


def test_messages_have_no_password() -> None:
    mirror = {"name": "the package index", "url": "http://user:s3cr3t@127.0.0.1:1/simple", "setting": "host_index_url"}
    (one,) = mirrors.check(Context(mirrors=[mirror]))
    assert "s3cr3t" not in str(one) and "http://127.0.0.1:1" in one.cause
    (slow,) = mirrors.judge(mirror, mirrors.Answer(200, "", 9.0, None), 0)
    assert slow.check == "mirror-slow" and "9.0 s" in slow.cause
