#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Serve a folder of models as the Hugging Face Hub does, and a folder of wheels.

Only the standard library is used: the mirror runs in a bare lab container.

Folders
    MODELS/<org>--<name>/repo.json                 the repository as in the Hub's API (see lab/models/make_tiny_models.py)
    MODELS/<org>--<name>/<commit>/<path>           the files of one revision
    WHEELS/<file>                                  served flat under /wheels/

Addresses
    GET       /api/models/{repo}                         repository, newest revision of "main"
    GET       /api/models/{repo}/revision/{revision}     the same for a branch or commit
    GET       /api/models/{repo}/tree/{revision}[/dir]   file list, ?recursive=true
    POST      /api/models/{repo}/paths-info/{revision}   some files of that list: {"paths": [...]}, as JSON or a form
    GET HEAD  /{repo}/resolve/{revision}/{path}          one file; Range is answered by 206
    GET       /wheels/                                   flat HTML index for --find-links
    GET HEAD  /wheels/{file}
    GET       /_lab/stats                                bytes and requests per file; DELETE resets them
    GET POST  /_lab/settings                             errors to simulate (misbehaviour.py); DELETE turns them off

Each port is a separate mirror of the same folders, with its own settings and statistics.

Errors have the Hub's headers X-Error-Code and X-Error-Message, by which the official client distinguishes a missing
repository from a missing revision or file.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import os
import random
import re
import select
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from misbehaviour import Mood, Settings

CHUNK_BYTES = 64 * 1024
# Bytes of one sendfile call, which needs no buffer here: few calls, and the statistics still change during a transfer.
SENDFILE_BYTES = 4 * 1024 * 1024
# A small buffer, so that the statistics count little more than a killed client has received.
SEND_BUFFER_BYTES = 64 * 1024
REPO = r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)"
API_INFO = re.compile(rf"/api/models/{REPO}")
API_REVISION = re.compile(rf"/api/models/{REPO}/revision/(?P<revision>[^/]+)")
API_TREE = re.compile(rf"/api/models/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?")
API_PATHS = re.compile(rf"/api/models/{REPO}/paths-info/(?P<revision>[^/]+)")
RESOLVE = re.compile(rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class HubError(Exception):
    """An error response with the Hub's own error codes and messages."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Stats:
    """Bytes and requests for each file since the start or the last DELETE."""

    files: dict[str, dict[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, **amounts: int) -> None:
        """Add amounts to the statistics of a file.

        The amounts are ``requests``, ``ranges``, ``tokens`` (requests with a token), ``bytes``, and ``unchanged`` (answers with status 304).
        """
        with self.lock:
            row = self.files.setdefault(name, {"requests": 0, "ranges": 0, "tokens": 0, "bytes": 0, "unchanged": 0})
            for key, amount in amounts.items():
                row[key] += amount

    def clear(self) -> None:
        """Reset the statistics."""
        with self.lock:
            self.files.clear()

    def as_dict(self) -> dict[str, Any]:
        """The statistics of all files, and the sum of their bytes."""
        with self.lock:
            rows = {name: dict(row) for name, row in sorted(self.files.items())}
        return {"bytes": sum(row["bytes"] for row in rows.values()), "files": rows}


class Store:
    """The models and wheels on disk. Read at each request, so a model made later is served at once."""

    def __init__(self, models: Path, wheels: Path) -> None:
        self.models = models
        self.wheels = wheels

    def repo(self, repo: str) -> dict[str, Any]:
        """The repository's description; HubError when the mirror does not have it."""
        try:
            return json.loads((self.models / repo.replace("/", "--") / "repo.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found") from None

    def revision(self, repo: str, revision: str) -> tuple[str, dict[str, dict[str, Any]]]:
        """Commit and files (by path) of a branch, tag or commit; HubError when there is none."""
        data = self.repo(repo)
        revision = urllib.parse.unquote(revision)
        commit = data["refs"].get(revision, revision)
        if commit not in data["revisions"]:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, {row["path"]: row for row in data["revisions"][commit]["files"]}

    def model_file(self, repo: str, commit: str, path: str) -> Path:
        """The path of one file of a revision."""
        return self.models / repo.replace("/", "--") / commit / path

    def wheel_names(self) -> list[str]:
        """Names of all wheels."""
        return sorted(path.name for path in self.wheels.glob("*.whl")) if self.wheels.is_dir() else []


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last requested byte, or None for the whole file.

    Like most servers, this one supports a single range. A range outside the file is a HubError (416).
    """
    match = RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    if match.group(1) == "":
        first, last = max(0, size - int(match.group(2))), size - 1
    else:
        first = int(match.group(1))
        last = min(size - 1, int(match.group(2))) if match.group(2) else size - 1
    if first >= size or first > last:
        raise HubError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange", f"file has {size} bytes")
    return first, last


class Handler(BaseHTTPRequestHandler):
    """One request. The class attributes are set once by :func:`serve`."""

    protocol_version = "HTTP/1.1"
    server_version = "hub-mirror"
    disable_nagle_algorithm = True  # small answers are two writes; without this each waits 40 ms
    store: Store
    stats: Stats
    mood: Mood
    # The settings for this response.
    manner: Settings = Settings()

    def do_GET(self) -> None:
        """Answer a GET."""
        self.answer()

    def do_HEAD(self) -> None:
        """Answer a HEAD: the headers of the GET."""
        self.answer()

    def do_POST(self) -> None:
        """Change the mirror's settings, or return information about some files."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if match := API_PATHS.fullmatch(self.path):
            self.answer_paths(match["repo"], match["revision"], body)
            return
        if self.path != "/_lab/settings":
            self.send_json(HTTPStatus.NOT_FOUND, {"error": "nothing is posted here"})
            return
        try:
            values = json.loads(body or b"{}")
            if not isinstance(values, dict):
                raise ValueError("settings must be a JSON object")
            self.mood.update(values)
        except ValueError as error:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            return
        self.send_json(HTTPStatus.OK, self.mood.as_dict())

    def do_DELETE(self) -> None:
        """Reset the statistics or the settings."""
        if self.path == "/_lab/stats":
            self.stats.clear()
            self.send_json(HTTPStatus.OK, self.stats.as_dict())
        elif self.path == "/_lab/settings":
            self.mood.set(Settings())
            self.send_json(HTTPStatus.OK, self.mood.as_dict())
        else:
            self.send_json(HTTPStatus.NOT_FOUND, {"error": "nothing is deleted here"})

    def answer(self) -> None:
        """Send what the path names, or the Hub's error."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        path = urllib.parse.unquote(url.path)
        try:
            if path.startswith("/_lab/"):
                self.answer_lab(path)
                return
            asked = RESOLVE.fullmatch(url.path)
            self.manner = self.mood.answer_to(urllib.parse.unquote(asked["path"]) if asked else url.path[1:].partition("/")[0])
            if self.manner.gone:
                self.hang_up()
            elif self.manner.status is not None:
                self.refuse(self.manner.status, self.manner.retry_after)
            elif (asked or path.startswith("/api/")) and not self.is_allowed():
                raise HubError(HTTPStatus.UNAUTHORIZED, "GatedRepo", "Access to this model is restricted. You must have access to it and be authenticated")
            elif path.startswith("/wheels/"):
                self.answer_wheel(path[len("/wheels/") :])
            elif match := API_TREE.fullmatch(url.path):
                self.answer_tree(match, query)
            elif match := API_REVISION.fullmatch(url.path):
                self.answer_info(match["repo"], match["revision"])
            elif match := API_INFO.fullmatch(url.path):
                self.answer_info(match["repo"], "main")
            elif asked:
                self.answer_file(asked["repo"], asked["revision"], urllib.parse.unquote(asked["path"]))
            else:
                raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"Not found: {path}")
        except HubError as error:
            self.send_json(
                error.status, {"error": str(error)}, {"X-Error-Code": error.code, "X-Error-Message": str(error)}
            )
        except (BrokenPipeError, ConnectionResetError):
            # The client closed the connection. The statistics count what it has received.
            self.close_connection = True

    def hang_up(self) -> None:
        """Close the connection. Data sent before still arrives."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, status: int, retry_after: int | None) -> None:
        """An error without the Hub's headers, as proxies and rate limiters return it."""
        wait = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.send_json(HTTPStatus(status), {"error": HTTPStatus(status).phrase}, wait)

    def is_allowed(self) -> bool:
        """Whether the request has the right token, or needs none."""
        return self.manner.token is None or self.headers.get("Authorization") == f"Bearer {self.manner.token}"

    def answer_lab(self, path: str) -> None:
        """Statistics and settings of the mirror itself."""
        pages = {"/_lab/stats": self.stats.as_dict, "/_lab/settings": self.mood.as_dict}
        if path not in pages:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"Not found: {path}")
        self.send_json(HTTPStatus.OK, pages[path]())

    def answer_info(self, repo: str, revision: str) -> None:
        """The Hub's description of a repository at one revision."""
        commit, files = self.store.revision(repo, revision)
        info = {
            "_id": commit[:24],
            "id": repo,
            "modelId": repo,
            "author": repo.split("/")[0],
            "sha": commit,
            "private": False,
            "gated": "manual" if self.manner.token else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }
        self.send_json(HTTPStatus.OK, info, {"X-Repo-Commit": commit})

    def answer_tree(self, match: re.Match[str], query: dict[str, list[str]]) -> None:
        """The file list of one revision, or of a folder in it."""
        commit, files = self.store.revision(match["repo"], match["revision"])
        prefix = urllib.parse.unquote(match["path"]).rstrip("/") + "/" if match["path"] else ""
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        rows: list[dict[str, Any]] = []
        folders: set[str] = set()
        for path, row in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            folders.update(prefix + "/".join(parts[:depth]) for depth in range(1, len(parts) if recursive else 2))
            if recursive or len(parts) == 1:
                rows.append({"type": "file", **row})
        folders -= set(files)
        rows.extend({"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders))
        if prefix and not rows:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{prefix.rstrip('/')} does not exist on {commit}")
        self.send_json(HTTPStatus.OK, rows, {"X-Repo-Commit": commit})

    def answer_paths(self, repo: str, revision: str, body: bytes) -> None:
        """The entries of some files in the file list. Caching mirrors send this query to the Hub."""
        try:
            if "json" in self.headers.get("Content-Type", ""):
                paths = json.loads(body)["paths"]
            else:
                paths = urllib.parse.parse_qs(body.decode()).get("paths", [])
            commit, files = self.store.revision(repo, revision)
            rows = [{"type": "file", **files[path]} for path in ([paths] if isinstance(paths, str) else paths) if path in files]
            self.send_json(HTTPStatus.OK, rows, {"X-Repo-Commit": commit})
        except HubError as error:
            self.send_json(error.status, {"error": str(error)}, {"X-Error-Code": error.code, "X-Error-Message": str(error)})
        except (ValueError, KeyError, TypeError) as error:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def answer_file(self, repo: str, revision: str, path: str) -> None:
        """One file of a model, with the headers the official client reads."""
        commit, files = self.store.revision(repo, revision)
        if path not in files:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{path} does not exist on {commit}")
        row = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{row["oid"]}"'}
        if "lfs" in row:
            headers["ETag"] = headers["X-Linked-Etag"] = f'"{row["lfs"]["oid"]}"'
            headers["X-Linked-Size"] = str(row["lfs"]["size"])
        if self.manner.etag:
            headers["ETag"] = f'"{random.randbytes(20).hex()}"'
        if self.manner.redirect:
            self.send_response(HTTPStatus.FOUND)
            self.send_headers("text/plain", 0, {"Location": self.manner.redirect.rstrip("/") + self.path, **headers})
            return
        self.send_file(self.store.model_file(repo, commit, path), f"{repo}@{commit}/{path}", headers)

    def answer_wheel(self, name: str) -> None:
        """The wheel index, or one wheel."""
        names = self.store.wheel_names()
        if not name:
            links = (f'<a href="{urllib.parse.quote(wheel)}">{html.escape(wheel)}</a><br>\n' for wheel in names)
            page = "<!DOCTYPE html>\n<title>Wheels</title>\n" + "".join(links)
            self.send_bytes(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", {})
        elif name in names:
            self.answer_wheel_file(self.store.wheels / name)
        else:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"no wheel {name}")

    def answer_wheel_file(self, path: Path) -> None:
        """One wheel, or status 304 if the client's copy is current. Without an ETag uv downloads and unpacks torch again for each release."""
        found = path.stat()
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        if self.headers.get("If-None-Match") == etag:
            self.stats.count(f"wheels/{path.name}", unchanged=1)
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", etag)
            self.end_headers()
        else:
            self.send_file(path, f"wheels/{path.name}", {"ETag": etag})

    def send_file(self, path: Path, name: str, headers: dict[str, str]) -> None:
        """A file, or the requested range of it, in chunks, no faster than the set rate."""
        try:
            source = path.open("rb")
        except OSError as error:
            message = f"{name} is listed but cannot be read: {error.strerror}"
            raise HubError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", message) from None
        with source:
            size = path.stat().st_size - (self.manner.truncate or 0)
            span = parse_range(self.headers.get("Range"), size)
            first, last = span or (0, size - 1)
            self.send_response(HTTPStatus.PARTIAL_CONTENT if span else HTTPStatus.OK)
            if span:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            if self.manner.truncate and "X-Linked-Size" in headers:
                headers["X-Linked-Size"] = str(size)
            self.send_headers("application/octet-stream", last - first + 1, {"Accept-Ranges": "bytes", **headers})
            if self.command == "HEAD":
                return
            self.stats.count(name, requests=1, ranges=int(span is not None), tokens=int("Authorization" in self.headers))
            self.send_body(source, name, first, last + 1)

    def send_body(self, source: BinaryIO, name: str, first: int, end: int) -> None:
        """The bytes of a file, with the simulated rate and errors of this response."""
        limits = [limit for limit in (self.manner.cut_after, self.manner.stall_after) if limit is not None]
        stop = min([end, *(first + limit for limit in limits)])
        # The wrong byte is in the middle of the file: the whole file is wrong, and small ranges at its ends are right.
        wrong = os.fstat(source.fileno()).st_size // 2 if self.manner.flip else -1
        if stop < end or wrong >= 0 or self.mood.settings.rate is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        position = first
        while position < stop:
            rate = self.mood.settings.rate
            if rate is None and wrong < 0:
                sent = os.sendfile(self.connection.fileno(), source.fileno(), position, min(stop - position, SENDFILE_BYTES))
            else:
                source.seek(position)
                # With a rate, chunks last a tenth of a second, so that a change of the rate takes effect at once.
                chunk = bytearray(source.read(min(stop - position, CHUNK_BYTES if rate is None else max(1, rate // 10))))
                if position <= wrong < position + len(chunk):
                    chunk[wrong - position] ^= 0xFF
                self.wfile.write(chunk)
                sent = len(chunk)
                if rate is not None:
                    time.sleep(sent / rate)
            if not sent:
                self.close_connection = True
                return
            self.stats.count(name, bytes=sent)
            position += sent
        if stop < end:
            if self.manner.stall_after is not None:
                # Wait until the client closes the connection, which makes the socket readable.
                select.select([self.connection], [], [])
            self.hang_up()

    def send_json(self, status: HTTPStatus, value: Any, headers: dict[str, str] | None = None) -> None:
        """A JSON answer."""
        self.send_bytes(status, json.dumps(value).encode(), "application/json; charset=utf-8", headers or {})

    def send_bytes(self, status: HTTPStatus, body: bytes, content_type: str, headers: dict[str, str]) -> None:
        """A small response in one piece."""
        self.send_response(status)
        self.send_headers(content_type, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_headers(self, content_type: str, length: int, headers: dict[str, str]) -> None:
        """All headers of a response."""
        for key, value in {"Content-Type": content_type, "Content-Length": str(length), **headers}.items():
            self.send_header(key, value)
        self.end_headers()


def serve(models: Path, wheels: Path, address: str, port: int, rate: int | None) -> ThreadingHTTPServer:
    """A server ready for ``serve_forever``; port 0 takes a free one."""
    values = {"store": Store(models, wheels), "stats": Stats(), "mood": Mood(Settings.read({"rate": rate}))}
    server = ThreadingHTTPServer((address, port), type("BoundHandler", (Handler,), values))
    server.daemon_threads = True
    return server


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the wheels")
    parser.add_argument("--address", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--port", type=int, nargs="+", default=[8080], help="one mirror for each")
    parser.add_argument("--rate", type=int, default=None, help="bytes per second of each response; default unlimited")
    arguments = parser.parse_args()
    servers = [serve(arguments.models, arguments.wheels, arguments.address, port, arguments.rate) for port in arguments.port]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
