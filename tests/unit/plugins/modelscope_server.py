# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for a ModelScope server, with another server as its storage. Its answers are those that modelscope_hub 0.5.1 of PyPI handles."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

COMMIT = "a1" * 20
OLDER = "b2" * 20
LARGE = (".safetensors",)


class Server:
    """One repository in one revision, by branch, tag and commit. C(behave) changes its answers.

    - C(data), C(body): functions that change C(Data) or the whole answer of a file list
    - C(raw): status and bytes of every file list
    - C(token): what a request has to bring, as cookie and as header
    - C(flip): paths whose first byte is wrong; C(cut): bytes after which the storage closes the connection, once for each path; C(status): of all files
    """

    def __init__(self, repo: str, files: dict[str, bytes]) -> None:
        self.repo, self.files = repo, files
        self.mood: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stored: list[tuple[str, dict[str, str]]] = []
        self.cuts: set[str] = set()
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer)) for answer in (self.answer, self.store)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        # Another name of the same machine: another host for everything that keeps a token from other hosts.
        self.url, self.storage = f"http://127.0.0.1:{self.servers[0].server_address[1]}", f"http://localhost:{self.servers[1].server_address[1]}"
        self.endpoint = f"modelscope+{self.url}"

    def behave(self, **mood: Any) -> None:
        self.mood.update(mood)

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def paths(self) -> list[str]:
        """The files that were asked for, by FilePath."""
        queries = (urllib.parse.parse_qs(urllib.parse.urlsplit(address).query) for address, _headers in self.requests)
        return [query["FilePath"][0] for query in queries if "FilePath" in query]

    def data(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = [{"Name": "sub", "Path": "sub", "Type": "tree", "Size": 0, "Sha256": "", "Revision": OLDER}]
        rows += [
            {"Name": path.rpartition("/")[2], "Path": path, "Type": "blob", "Size": len(text), "Sha256": hashlib.sha256(text).hexdigest(),
             "IsLFS": path.endswith(LARGE), "Revision": COMMIT if path == "config.json" else OLDER}
            for path, text in self.files.items()
        ]
        return {"Files": rows, "IsVisual": 0, "LatestCommitter": {"Id": "", "ShortId": COMMIT[:8]}}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """The API: the file list, and a file, which is small and sent at once, or a redirect to the storage."""
        self.requests.append((request.path, dict(request.headers)))
        parts = urllib.parse.urlsplit(request.path)
        query = {key: value[0] for key, value in urllib.parse.parse_qs(parts.query).items()}
        token = self.mood.get("token")
        if token and (request.headers.get("Cookie") != f"m_session_id={token}" or request.headers.get("Authorization") != f"Bearer {token}"):
            _send(request, 403, {"Code": 10010103005, "Message": "no access", "RequestId": "1", "Success": False})
        elif not parts.path.startswith(f"/api/v1/models/{self.repo}/repo"):
            _send(request, 404, {"Code": 10010205001, "Message": "record not found", "RequestId": "1", "Success": False})
        elif parts.path.endswith("/repo/files"):
            self.list(request, query["Revision"])
        else:
            self.file(request, query["FilePath"], query["Revision"])

    def list(self, request: BaseHTTPRequestHandler, revision: str) -> None:
        if "raw" in self.mood:
            _send(request, *self.mood["raw"])
            return
        known = revision in ("master", "v1.0.0", COMMIT)
        data = self.data() if known else {"Files": None, "IsVisual": 0, "LatestCommitter": None}
        change: Callable[[Any], Any] = self.mood.get("data", lambda found: found)
        whole: Callable[[Any], Any] = self.mood.get("body", lambda found: found)
        _send(request, 200, whole({"Code": 200, "Data": change(data), "Message": "success", "RequestId": "1", "Success": True}))

    def file(self, request: BaseHTTPRequestHandler, path: str, revision: str) -> None:
        if path not in self.files or revision not in ("master", "v1.0.0", COMMIT) or "status" in self.mood:
            _send(request, self.mood.get("status", 404), {"Code": 10010205001, "Message": "no such file", "Success": False})
        elif path.endswith(LARGE):
            request.send_response(302)
            request.send_header("Location", f"{self.storage}/{urllib.parse.quote(path)}?sign=x")
            request.send_header("X-Linked-ETag", f'"{hashlib.sha256(self.files[path]).hexdigest()}"')
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            # Whole, whatever range was asked for.
            _send(request, 200, self.bytes_of(path))

    def bytes_of(self, path: str) -> bytes:
        text = self.files[path]
        return bytes([text[0] ^ 1]) + text[1:] if path in self.mood.get("flip", ()) else text

    def store(self, request: BaseHTTPRequestHandler) -> None:
        """The storage, which sends ranges."""
        self.stored.append((request.path, dict(request.headers)))
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path[1:])
        text = self.bytes_of(path)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        first, last = (int(match[1]), min(int(match[2] or len(text) - 1), len(text) - 1)) if match else (0, len(text) - 1)
        part = text[first:last + 1]
        request.send_response(206 if match else 200)
        if match:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(text)}")
        request.send_header("Content-Length", str(len(part)))
        request.end_headers()
        cut = self.mood.get("cut", 0)
        if cut and len(part) > cut and path not in self.cuts:
            self.cuts.add(path)
            if self.mood.get("gone_after_cut"):
                self.behave(status=503)
            part = part[:cut]
        request.wfile.write(part)
        request.close_connection = True


def _handler(answer: Callable[[BaseHTTPRequestHandler], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    return Handler


def _send(request: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Length", str(len(text)))
    request.end_headers()
    request.wfile.write(text)
