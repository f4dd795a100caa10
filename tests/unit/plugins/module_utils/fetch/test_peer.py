# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copying from a peer while it downloads: what it exports, and how long the download waits for it."""

from __future__ import annotations

import json
import os
import threading
import types
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import peer

REPO, COMMIT, FILE = "some/model", "c0ffee", "model-00001.safetensors"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files as busybox does, without a word."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


class Clock:
    """Monotonic time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(name="peers")
def _peers() -> types.ModuleType:
    return peer


@pytest.fixture(name="clock")
def _clock(peers: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(peers.time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    (tmp_path / "served" / "progress").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="endpoints")
def _endpoints(peers: types.ModuleType, clock: Clock, server: ThreadingHTTPServer) -> Any:
    url = f"http://127.0.0.1:{server.server_port}"
    share = {"role": "follower", "source": "gpu1", "url": f"{url}/weights", "progress": f"{url}/progress/unit.json", "stall_timeout": 60}
    return peers.endpoints_of({"share": share, "repo": REPO, "commit": COMMIT, "endpoints": ["http://mirror"], "token_endpoints": []}, "", 600)


def progress(tmp_path: Path, **values: Any) -> None:
    """What the peer says of its own download."""
    (tmp_path / "served" / "progress" / "unit.json").write_text(json.dumps(values), encoding="utf-8")


def show(tmp_path: Path) -> None:
    """Export the file on the peer."""
    path = tmp_path / "served" / "weights" / REPO / "resolve" / COMMIT / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")


def chosen(endpoints: Any) -> str | None:
    """Where the file is to be fetched from now, None to wait."""
    endpoint, seconds = endpoints.pick(FILE)
    assert endpoint is not None or 0 < seconds < 10
    return endpoint.url if endpoint is not None else None


def test_what_is_shown_is_copied(endpoints: Any, clock: Clock, tmp_path: Path) -> None:
    """What is not yet there is waited for; no mirror is asked."""
    progress(tmp_path, bytes=1, total_bytes=7)
    assert chosen(endpoints) is None
    assert endpoints.is_alive()
    show(tmp_path)
    assert chosen(endpoints) is None, "it was asked again at once"
    clock.now += 5
    assert chosen(endpoints) == endpoints.peer.url


def test_one_that_gets_on_is_waited_for(endpoints: Any, clock: Clock, tmp_path: Path) -> None:
    """However long its download takes."""
    for size in range(20):
        progress(tmp_path, bytes=size, total_bytes=1000)
        assert chosen(endpoints) is None
        clock.now += 50
    assert endpoints.report() == "gpu1 has 19 bytes of 1000 bytes"


def test_one_that_gets_no_further_is_given_up(endpoints: Any, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the stall timeout, and then for good."""
    progress(tmp_path, bytes=3, total_bytes=7)
    assert chosen(endpoints) is None
    clock.now += 59
    assert chosen(endpoints) is None
    clock.now += 5
    assert chosen(endpoints) == "http://mirror"
    assert not endpoints.is_alive()
    assert "gpu1 has made no progress for 60 s, using the other endpoints" in capsys.readouterr().out
    show(tmp_path)
    clock.now += 5
    assert chosen(endpoints) == "http://mirror"


def test_one_that_does_not_answer_is_given_up(endpoints: Any, clock: Clock, server: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a moment late; not more."""
    endpoints.peer.progress_url = "http://127.0.0.1:9/progress"
    endpoints.peer.url = "http://127.0.0.1:9/weights"
    assert chosen(endpoints) is None
    clock.now += 55
    assert chosen(endpoints) is None
    clock.now += 10
    assert chosen(endpoints) == "http://mirror"
    assert "has not answered for 60 s" in capsys.readouterr().out


def test_a_long_copy_is_no_silence(endpoints: Any, clock: Clock, tmp_path: Path) -> None:
    """While all workers copy nobody looks; one bad answer after that is not a minute of them."""
    progress(tmp_path, bytes=7, total_bytes=7)
    show(tmp_path)
    assert chosen(endpoints) == endpoints.peer.url
    clock.now += 1000
    url, endpoints.peer.progress_url = endpoints.peer.progress_url, "http://127.0.0.1:9/progress"
    assert chosen(endpoints) == endpoints.peer.url
    endpoints.peer.progress_url = url
    clock.now += 1000
    assert chosen(endpoints) == endpoints.peer.url


def test_what_a_complete_peer_lacks_comes_from_elsewhere(endpoints: Any, clock: Clock, tmp_path: Path) -> None:
    """That file alone: it is not given up for the others."""
    progress(tmp_path, bytes=7, total_bytes=7)
    for _look in range(3):
        assert chosen(endpoints) is None
        clock.now += 25
    assert chosen(endpoints) is None
    clock.now += 5
    assert chosen(endpoints) == "http://mirror"
    assert endpoints.is_alive()


def test_a_download_without_a_peer(peers: types.ModuleType) -> None:
    """Has the user's endpoints and no export directory."""
    spec = {"repo": REPO, "commit": COMMIT, "endpoints": ["http://mirror"], "token_endpoints": []}
    assert [one.url for one in peers.endpoints_of({**spec, "share": {"role": "alone"}}, "", 1).all] == ["http://mirror"]
    assert peers.export_of(spec).base == ""


def test_an_export_holds_links(peers: types.ModuleType, tmp_path: Path) -> None:
    """They take no space, stay when the folder gets its final name, and follow a file that was fetched again."""
    base = tmp_path / "main.partial"
    (base / "sub").mkdir(parents=True)
    (base / "sub" / FILE).write_bytes(b"one")
    export = peers.Export(str(tmp_path / "main.share"), REPO, COMMIT)
    entry = {"path": f"sub/{FILE}"}
    export.put(str(base), entry)
    export.put(str(base), entry)
    shown = tmp_path / "main.share" / REPO / "resolve" / COMMIT / "sub" / FILE
    os.rename(base, tmp_path / "main")
    assert shown.samefile(tmp_path / "main" / "sub" / FILE)
    (tmp_path / "main" / "sub" / FILE).unlink()
    (tmp_path / "main" / "sub" / FILE).write_bytes(b"two")
    export.put(str(tmp_path / "main"), entry)
    assert shown.read_bytes() == b"two"


@pytest.mark.parametrize(
    "said",
    [
        b'{"bytes": 1e400, "total_bytes": 5}', b'{"bytes": ' + b"9" * 5000 + b', "total_bytes": 5}', b'{"bytes": true, "total_bytes": -1}', b'{"bytes": "5"}',
        b"[" * 100_000, b"[1]", b"no JSON", b'{"text": {"a": ["x"]}, "error": 5}', b'{"bytes": ' + b" " * 1_000_000 + b"1}", b"\xff\xfe", b"",
    ],
)
def test_whatever_a_peer_says_of_itself(endpoints: Any, clock: Clock, tmp_path: Path, said: bytes) -> None:
    """Is no reason to stop: the download waits for the stall timeout, and then goes on without it."""
    (tmp_path / "served" / "progress" / "unit.json").write_bytes(said)
    for _look in range(3):
        chosen(endpoints)
        assert len(endpoints.report()) < 200 and endpoints.report().isprintable()
        clock.now += 50
    assert chosen(endpoints) == "http://mirror"


def test_an_export_with_names_like_its_own(peers: types.ModuleType, tmp_path: Path) -> None:
    """A file that is called as another one while it is put there stays."""
    base = tmp_path / "main"
    base.mkdir()
    for name in ("x.new", "x"):
        (base / name).write_text(name)
    export = peers.Export(str(tmp_path / "main.share"), REPO, COMMIT)
    for name in ("x.new", "x"):
        export.put(str(base), {"path": name})
    assert sorted(path.name for path in Path(export.base).iterdir()) == ["x", "x.new"]
    assert (Path(export.base) / "x.new").read_text() == "x.new"
