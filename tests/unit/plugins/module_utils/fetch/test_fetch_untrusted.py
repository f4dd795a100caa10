# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that downloads, against servers that mean no good, and on a disk that is full."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import download, endpoints, progress, tools
from ansible_collections.inferops.gpu.plugins.module_utils.release import source, steps
from test_fetch import NAMES, SHARD, Lab, lab  # noqa: F401, pytest finds the fixture by its name here

FILE = NAMES[3]


class Endpoint:
    """An endpoint that has one file, and answers requests for it by a function of handler and first byte; for all others it has nothing."""

    def __init__(self, answer: Callable[[Any, int], None]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                if not self.path.endswith(FILE):
                    self.send_error(404)
                elif span and span[2] == "0":
                    self.partial(0, 1, b"x")
                else:
                    answer(self, int(span[1]) if span else 0)

            def partial(self, first: int, length: int, body: bytes) -> None:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{first + length - 1}/{SHARD}")
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture(name="endpoint")
def _endpoint() -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def make(answer: Callable[[Any, int], None]) -> Endpoint:
        made.append(Endpoint(answer))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "-x", 'x\nproxy = "http://127.0.0.1:9"', "x\\y", "", ".cache/x", "n" * 300])
def test_names_are_looked_at_before_anything_is_written(lab: Lab, name: str) -> None:  # noqa: F811
    """Whoever wrote them: nobody is asked, and nothing stands anywhere."""
    before = sorted(path.name for path in lab.base.iterdir())
    lab.spec["files"].append({**lab.spec["files"][0], "path": name})
    assert lab.run(token="hf_secret") == 3
    assert "is not a valid file name" in lab.status()["error"] and all(mirror.files() == {} for mirror in lab.mirrors)
    assert sorted(path.name for path in lab.base.iterdir()) == sorted([*before, "spec.json", "status.json"])


def test_a_setting_of_curl_is_one_line(fetch_weights: ModuleType) -> None:
    """The second wall, whatever the first one let through."""
    quoted = tools.quoted
    assert quoted('a "b" \\c') == '"a \\"b\\" \\\\c"'
    for text in ("a\nproxy = x", "a\rb", "a\0b", "a\u2028b"):
        with pytest.raises(ValueError, match="control character"):
            quoted(text)


def test_more_than_was_announced_does_not_fill_the_disk(lab: Lab, endpoint: Callable[..., Endpoint]) -> None:  # noqa: F811
    """An endpoint without an end is stopped a little beyond the size, and the file comes from the other one."""
    most = []

    def endless(handler: Any, first: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
                found = lab.partial / FILE
                most.append(found.stat().st_size if found.exists() else 0)
                if most[-1] > 50_000_000:
                    return
        except OSError:
            return

    bad = endpoint(endless)
    lab.spec["endpoints"] = [bad.url, lab.mirrors[0].url]
    assert lab.run() == 0
    lab.is_complete()
    # It did send; on a busy machine all that it sent may have been refused before any of it was on the disk.
    assert most and max(most) < 5_000_000


def test_where_a_redirect_leads(lab: Lab, endpoint: Callable[..., Endpoint]) -> None:  # noqa: F811
    """Never to a file of the host; the token goes along on the same host alone."""
    ask = endpoints.ask
    secret = lab.base / "secret"
    secret.write_text("of the host")
    targets = {"file": secret.as_uri(), "home": f"/new/{FILE}"}

    def redirect(self: Any) -> None:
        found.asked.append((self.path, self.headers.get("Authorization")))
        where = self.path.strip("/").split("/")[0]
        if where in targets:
            self.send_response(302)
            self.send_header("Location", targets[where])
            self.end_headers()
        else:
            self.partial(0, 1, b"x")

    found = endpoint(lambda handler, first: None)
    lab.monkeypatch.setattr(found.server.RequestHandlerClass, "do_GET", redirect)
    answer = ask(f"{found.url}/file/{FILE}", "hf_secret", 5)
    assert answer.error and answer.size is None
    assert ask(f"{found.url}/home/{FILE}", "hf_secret", 5).size == SHARD
    assert found.asked[-1] == (f"/new/{FILE}", "Bearer hf_secret")


def test_two_that_mix_one_file(lab: Lab, endpoint: Callable[..., Endpoint]) -> None:  # noqa: F811
    """One sends a wrong beginning and breaks off, the other would be right: who is wrong shows when each has to send all of it."""
    begun = []

    def wrong_beginning(handler: Any, first: int) -> None:
        begun.append(first)
        if first or begun.count(0) > 6:
            handler.send_error(503)
        else:
            handler.partial(0, SHARD, b"x" * 100_000)

    def right(handler: Any, first: int) -> None:
        time.sleep(0.2)
        handler.partial(first, SHARD - first, (lab.source / FILE).read_bytes()[first:])

    for name in ("FIRST_BACKOFF", "MAX_BACKOFF"):
        lab.monkeypatch.setattr(endpoints, name, 0.02)
    files = [file for file in lab.spec["files"] if file["path"] == FILE]
    lab.spec.update(endpoints=[endpoint(wrong_beginning).url, endpoint(right).url], files=files, stall_timeout=30)
    assert lab.run() == 0
    assert (lab.path / FILE).read_bytes() == (lab.source / FILE).read_bytes()
    assert begun.count(0) <= 2, "it was begun there again and again"


def test_two_that_never_send_all_of_it(lab: Lab, endpoint: Callable[..., Endpoint]) -> None:  # noqa: F811
    """One breaks off, the other one sends wrong bytes, alone and after the first: it ends, with what each did."""
    begun = []

    def beginning(handler: Any, first: int) -> None:
        begun.append(first)
        if len(begun) > 100:
            handler.send_error(404)
        elif first:
            handler.send_error(503)
        else:
            handler.partial(0, SHARD, b"x" * 100_000)

    bad = [endpoint(beginning), endpoint(lambda handler, first: handler.partial(first, SHARD - first, b"y" * (SHARD - first)))]
    lab.monkeypatch.setattr(endpoints, "FIRST_BACKOFF", 0.02)
    lab.monkeypatch.setattr(endpoints, "MAX_BACKOFF", 0.5)
    lab.spec.update(endpoints=[one.url for one in bad], files=[file for file in lab.spec["files"] if file["path"] == FILE], stall_timeout=5)
    assert lab.run() == 3
    # Whose turn it was when the other one was found out decides whether the first one is set aside or keeps being asked until the stall timeout.
    error = lab.status()["error"]
    assert len(begun) < 80 and error.count("answered: ") == 2 and "wrong bytes" in error and ("is not available" in error or "no data for" in error)


def test_one_that_cannot_go_on_in_the_middle(lab: Lab, endpoint: Callable[..., Endpoint]) -> None:  # noqa: F811
    """It has no ranges and always breaks off: started again some times, not for ever."""
    begun = []

    def no_ranges(handler: Any, first: int) -> None:
        begun.append(first)
        handler.send_response(200)
        handler.send_header("Content-Length", str(SHARD))
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)
        if len(begun) > 100:
            handler.wfile.write(b"x" * (SHARD - 1000))

    bad = endpoint(no_ranges)
    lab.monkeypatch.setattr(endpoints, "FIRST_BACKOFF", 0.02)
    lab.monkeypatch.setattr(endpoints, "MAX_BACKOFF", 0.02)
    lab.spec.update(endpoints=[bad.url], files=[file for file in lab.spec["files"] if file["path"] == FILE], stall_timeout=30)
    assert lab.run() == 3
    assert len(begun) < 50 and "started 10 times" in lab.status()["error"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [("9" * 400, None), ("99999999", 3600.0), ("²", None), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0), ("-5", None), ("x" * 100_000, None)],
)
def test_nobody_is_left_alone_for_ever(fetch_weights: ModuleType, header: str, expected: Any) -> None:
    """Whatever he asks for."""
    assert endpoints.seconds_of(header) == expected


def test_sizes_in_headers(fetch_weights: ModuleType) -> None:
    """Numbers that are none are no sizes."""
    total_of = endpoints.total_of
    assert [total_of({"Content-Range": f"bytes 0-0/{text}"}) for text in ("5", "*", "²", "9" * 5000, "-1")] == [5, None, None, None, None]


def test_files_that_one_name_stands_for(fetch_weights: ModuleType, tmp_path: Path) -> None:
    """On a file system that does not tell upper from lower case."""
    (tmp_path / "README").write_text("x")
    os.link(tmp_path / "README", tmp_path / "Readme")
    (tmp_path / "other").write_text("x")
    (tmp_path / "OTHER").write_text("x")
    entries = [{"path": name} for name in ("other", "OTHER", "README")]
    fetch_weights.check_names(str(tmp_path), entries)
    with pytest.raises(download.FetchError, match="README and Readme are the same file"):
        fetch_weights.check_names(str(tmp_path), [*entries, {"path": "Readme"}])


# -- a disk that is full


@pytest.fixture(name="small")
def _small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "none", str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_waited_for(lab: Lab, small: Path) -> None:  # noqa: F811
    """With everything on it: weights, manifest and status. It goes on when there is room, and nothing is fetched twice."""
    names = {"path": "r1", "manifest": "r1.manifest.json", "status_file": "status.json"}
    lab.spec.update({key: str(small / name) for key, name in names.items()}, stall_timeout=60)
    lab.monkeypatch.setattr(download, "ROOM", 64 * 1024)
    lab.monkeypatch.setattr(download, "LOOK", 0.1)
    lab.monkeypatch.setattr(lab.script, "FULL_LOOK", 0.1)
    (small / "ballast").write_bytes(b"x" * (os.statvfs(small).f_bavail * 4096 - 150_000))
    room = threading.Timer(2.0, lambda: (small / "ballast").unlink())
    room.start()
    began = time.monotonic()
    assert lab.run() == 0
    assert time.monotonic() - began > 1.5, "there was room"
    assert (small / "r1" / FILE).read_bytes() == (lab.source / FILE).read_bytes()
    assert (small / "status.json").read_text().count("complete") == 1 and lab.sent <= lab.size + 2 * SHARD


def test_a_disk_without_an_inode_left(lab: Lab, small: Path) -> None:  # noqa: F811
    """Bytes are free, and nothing can be made: that is full too. In the end it says so, and not by a traceback."""
    lab.spec.update(path=str(small / "r1"), manifest=str(small / "r1.manifest.json"), status_file=str(small / "status.json"), stall_timeout=1)
    lab.monkeypatch.setattr(lab.script, "FULL_LOOK", 0.1)
    number = 0
    while os.statvfs(small).f_favail:
        (small / f"ballast{number}").touch()
        number += 1
    assert lab.run() == 3
    for index in range(number):
        (small / f"ballast{index}").unlink()
    assert lab.run() == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_status_that_cannot_be_written_ends_nothing(lab: Lab, number: int, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """It is for who looks on. The journal says it once."""

    def replace(source: str, target: str) -> None:
        raise OSError(number, os.strerror(number))

    status = progress.Status(str(lab.base / "status.json"))
    lab.monkeypatch.setattr(os, "replace", replace)
    status.write(text="one")
    status.write(text="two")
    assert capsys.readouterr().out.count("cannot write ") == 1
    assert not (lab.base / "status.json.new").exists()


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://127.0.0.1:9/x"])
def test_where_a_source_of_a_release_leads(build_release: ModuleType, tmp_path: Path, target: str) -> None:
    """An sdist or wheel comes from a web server, and from an encrypted one where that was asked."""
    request = source.urllib.request.Request("https://example.org/x.whl")
    with pytest.raises(source.urllib.error.URLError, match="redirects"):
        source.Redirects().redirect_request(request, None, 302, "Found", {}, target)
    if target.startswith("http"):
        plain = source.urllib.request.Request("http://example.org/x.whl")
        assert source.Redirects().redirect_request(plain, None, 302, "Found", {}, target).full_url == target


def test_a_source_without_end(build_release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not fill the disk."""
    monkeypatch.setattr(source, "_LARGEST", 10)
    (tmp_path / "x.whl").write_bytes(b"x" * 11)
    (tmp_path / "work").mkdir()
    with pytest.raises(steps.BuildError, match="longer than 10 bytes"):
        source.fetch({"source": {"address": str(tmp_path / "x.whl"), "sha256": ""}}, str(tmp_path / "work"), steps.Status(str(tmp_path / "status.json")))


def test_a_build_goes_on_without_its_status(build_release: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the reason of a failure is in the journal all the same."""
    status = steps.Status(str(tmp_path / "nowhere" / "status.json"))
    status.write("failed", error="no space left", fix="make room")
    assert "failed: no space left" in capsys.readouterr().out
