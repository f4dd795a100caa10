# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that downloads, run against mirrors on this machine: what it takes for complete, whom it asks, what it keeps."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import contents, endpoints, progress, tools
from make_repository import make as make_repository

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
SHARD = 300_000
NAMES = ["README.md", "config.json", "empty.txt", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json"]


class Lab:
    """A repository on two mirrors, and the specification of its download."""

    def __init__(self, base: Path, script: ModuleType, mirrors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self.script, self.mirrors, self.monkeypatch = base, script, mirrors, monkeypatch
        self.commit = make_repository(base / "models", "a/b", 2, SHARD)
        rows = json.loads((base / "models" / "a--b" / "repo.json").read_text())["revisions"][self.commit]["files"]
        self.source = base / "models" / "a--b" / self.commit
        self.path, self.partial = base / "r1", base / "r1.partial"
        urls = [mirror.url for mirror in mirrors]
        self.spec: dict[str, Any] = {
            "repo": "a/b", "revision": "r1", "commit": self.commit, "endpoint": urls[0], "endpoints": urls, "token_endpoints": urls[:1],
            "files": [describe(row) for row in rows if row["path"] in NAMES], "max_workers": 2,
            "min_rate": 1, "rate_seconds": 5, "stall_timeout": 5,
            "path": str(self.path), "manifest": str(base / "r1.manifest.json"), "status_file": str(base / "status.json"),
        }
        self.size = sum(file["size"] for file in self.spec["files"])

    def run(self, token: str = "") -> int:
        (self.base / "spec.json").write_text(json.dumps(self.spec))
        self.monkeypatch.setattr(sys, "argv", ["fetch_weights", str(self.base / "spec.json")])
        self.monkeypatch.setenv("HF_TOKEN", token)
        return int(self.script.main())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.base / "status.json").read_text())
        return found

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.base / "r1.manifest.json").read_text())
        return found

    @property
    def sent(self) -> int:
        """Bytes from both mirrors, without the byte from each that tells where its data comes from."""
        return sum(mirror.sent for mirror in self.mirrors) - 2

    def begun(self, name: str, size: int) -> None:
        """What an earlier start left of a file."""
        self.partial.mkdir(exist_ok=True)
        (self.partial / name).write_bytes((self.source / name).read_bytes()[:size])

    def is_complete(self) -> None:
        assert sorted(path.name for path in self.path.iterdir()) == NAMES
        assert all((self.path / name).read_bytes() == (self.source / name).read_bytes() for name in NAMES)
        assert [file["path"] for file in self.manifest()["files"]] == NAMES
        assert sorted(path.name for path in self.base.iterdir() if path.name.startswith("r1")) == ["r1", "r1.manifest.json"]


def describe(row: dict[str, Any]) -> dict[str, Any]:
    return {"path": row["path"], "size": row["size"], **({"sha256": row["lfs"]["oid"]} if "lfs" in row else {"git_sha1": row["oid"]})}


@pytest.fixture
def lab(tmp_path: Path, fetch_weights: ModuleType, mirrors: Any, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, fetch_weights, mirrors, monkeypatch)


def test_complete_and_verified(lab: Lab) -> None:
    assert lab.run() == 0
    lab.is_complete()
    assert lab.sent == lab.size == lab.manifest()["total_bytes"]
    assert lab.status()["text"].startswith("complete") and lab.status()["bytes"] == lab.size


def test_a_second_start_asks_nobody(lab: Lab) -> None:
    lab.run()
    before = (lab.base / "r1.manifest.json").stat().st_mtime_ns
    for mirror in lab.mirrors:
        mirror.behave(gone=True)
    assert lab.run() == 0
    assert (lab.base / "r1.manifest.json").stat().st_mtime_ns == before


def test_what_an_earlier_start_left_is_gone_on_with(lab: Lab) -> None:
    lab.begun(NAMES[3], 200_000)
    lab.begun(NAMES[4], SHARD)
    assert lab.run() == 0
    lab.is_complete()
    assert lab.sent == lab.size - 200_000 - SHARD


def test_a_wrong_beginning_is_fetched_again_and_nobody_is_blamed(lab: Lab) -> None:
    lab.partial.mkdir()
    (lab.partial / NAMES[3]).write_bytes(b"x" * 200_000)
    assert lab.run() == 0
    lab.is_complete()
    assert lab.sent == lab.size + 100_000 and lab.mirrors[1].sent == 1


def test_too_much_is_fetched_again(lab: Lab) -> None:
    lab.partial.mkdir()
    (lab.partial / NAMES[3]).write_bytes(b"x" * (SHARD + 1))
    assert lab.run() == 0
    lab.is_complete()


def test_a_verified_file_is_not_hashed_again_until_it_changes(lab: Lab) -> None:
    record = contents.Record(str(lab.path) + ".verified.json")
    for file in lab.spec["files"]:
        if file["path"] != NAMES[4]:
            lab.begun(file["path"], file["size"])
            record.add(contents.entry_of(str(lab.partial), file))
    hashed = []
    original = contents.hashes
    lab.monkeypatch.setattr(contents, "hashes", lambda path, size: (hashed.append(Path(path).name), original(path, size))[1])
    os.utime(lab.partial / "config.json", ns=(1, 1))
    assert lab.run() == 0
    lab.is_complete()
    assert sorted(hashed) == ["config.json", NAMES[4]]


def test_a_wrong_byte_is_fetched_again_from_the_other_one(lab: Lab) -> None:
    lab.mirrors[0].behave(flip=True, paths=[NAMES[3]])
    assert lab.run() == 0
    lab.is_complete()
    assert lab.sent == lab.size + SHARD and lab.mirrors[1].files()[NAMES[3]]["bytes"] >= SHARD


def test_a_file_that_nobody_has_ends_it(lab: Lab) -> None:
    for mirror in lab.mirrors:
        mirror.behave(status=404, paths=[NAMES[4]])
    assert lab.run() == 3
    assert lab.status()["error"].count("answered: 404 ") == 2 and NAMES[4] in lab.status()["error"]


def test_wrong_everywhere_ends(lab: Lab) -> None:
    for mirror in lab.mirrors:
        mirror.behave(flip=True, paths=[NAMES[3]])
    assert lab.run() == 3
    assert not lab.path.exists() and not (lab.base / "r1.manifest.json").exists()
    assert lab.status()["error"].count("wrong bytes") == 2
    assert lab.mirrors[0].files()[NAMES[3]]["requests"] == 4, "a probe and three tries"


def test_one_that_has_another_size_is_not_asked(lab: Lab) -> None:
    """The probe sees it: nothing is fetched in vain."""
    lab.mirrors[0].behave(truncate=10, paths=["model-*"])
    assert lab.run() == 0
    lab.is_complete()
    assert lab.mirrors[0].files()[NAMES[3]]["bytes"] == 1


def test_cut_again_and_again(lab: Lab) -> None:
    # It is about the bytes: on a busy machine two dozen requests leave no second for each.
    lab.spec["stall_timeout"] = 10
    lab.mirrors[0].behave(cut_after=40_000)
    assert lab.run() == 0
    lab.is_complete()
    assert lab.sent == lab.size and lab.mirrors[1].sent == 1


def test_nobody_answers(lab: Lab) -> None:
    for mirror in lab.mirrors:
        mirror.behave(gone=True)
    began = time.monotonic()
    assert lab.run() == 3
    assert time.monotonic() - began < 10
    assert all(f"{mirror.url} answered: " in lab.status()["error"] for mirror in lab.mirrors)


def test_one_that_asks_to_wait_is_not_asked_before(lab: Lab) -> None:
    lab.spec["stall_timeout"] = 10
    lab.mirrors[0].behave(status=429, retry_after=2, seconds=1)
    lab.mirrors[1].behave(gone=True)
    began = time.monotonic()
    assert lab.run() == 0
    assert time.monotonic() - began >= 2
    lab.is_complete()


def test_the_token_goes_to_its_endpoints_only(lab: Lab) -> None:
    """Not to another endpoint, nor where a redirect leads."""
    lab.mirrors[0].behave(token="hf_secret", redirect=lab.mirrors[1].url)
    assert lab.run(token="hf_secret") == 0
    lab.is_complete()
    assert sum(row["tokens"] for row in lab.mirrors[1].files().values()) == 0


def test_gated_without_a_token(lab: Lab) -> None:
    for mirror in lab.mirrors:
        mirror.behave(token="hf_secret")
    assert lab.run() == 3
    assert lab.status()["error"].count("answered: 401 ") == 2


def test_the_token_is_on_no_command_line(lab: Lab) -> None:
    """Nor in curl's environment."""
    seen = []
    original = tools.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        seen.append((command, options))
        return original(command, **options)

    lab.monkeypatch.setattr(tools.subprocess, "Popen", start)
    assert lab.run(token="hf_secret") == 0
    assert seen and all(command == ["curl", "--disable", "--config", "-"] for command, _options in seen)
    assert "hf_secret" not in str(seen) and "HF_TOKEN" not in os.environ


def test_what_another_client_left_is_not_published(lab: Lab) -> None:
    """A download that began with the official client: its files go on, its bookkeeping goes."""
    kept = lab.partial / ".cache" / "huggingface" / "download"
    kept.mkdir(parents=True)
    (kept / "x.incomplete").write_text("half")
    assert lab.run() == 0
    lab.is_complete()
    assert not (lab.path / ".cache").exists()


def test_a_changed_file_alone_is_mended_where_it_stands(lab: Lab) -> None:
    lab.run()
    (lab.path / NAMES[3]).write_bytes(b"x" * SHARD)
    (lab.path / "adapter.txt").write_text("somebody's own")
    for mirror in lab.mirrors:
        mirror.server.RequestHandlerClass.stats.clear()
    inode = (lab.path / NAMES[4]).stat().st_ino
    assert lab.run() == 0
    assert lab.sent == SHARD and (lab.path / NAMES[4]).stat().st_ino == inode
    assert (lab.path / "adapter.txt").exists()
    (lab.path / "adapter.txt").unlink()
    lab.is_complete()


def test_other_patterns_are_written_down(lab: Lab) -> None:
    """So that it is known what was chosen; the files that are there stay, and what is wanted besides is fetched."""
    kept = lab.spec["files"]
    lab.spec["files"] = [file for file in kept if file["path"] != NAMES[4]]
    assert lab.run() == 0 and lab.manifest()["include"] == []
    lab.spec.update(files=kept, include=["*"], exclude=["x"])
    before = lab.sent
    assert lab.run() == 0
    lab.is_complete()
    assert (lab.manifest()["include"], lab.manifest()["exclude"]) == (["*"], ["x"]) and lab.sent - before <= SHARD + 10


def test_a_start_that_died_before_the_manifest_fetches_nothing(lab: Lab) -> None:
    lab.run()
    (lab.base / "r1.manifest.json").unlink()
    for mirror in lab.mirrors:
        mirror.behave(gone=True)
    assert lab.run() == 0
    lab.is_complete()


def test_files_of_an_earlier_selection_are_not_shown(lab: Lab) -> None:
    lab.begun("README.md", 3)
    (lab.partial / "old" / "deep").mkdir(parents=True)
    (lab.partial / "old" / "deep" / "pytorch_model.bin").write_bytes(b"x")
    assert lab.run() == 0
    lab.is_complete()


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (5 * 1024**2, "5 MiB"), (1024**3 - 1, "1024 MiB"), (1.5 * 1024**3, "1.50 GiB")],
)
def test_sizes_in_words(fetch_weights: ModuleType, size: float, expected: str) -> None:
    assert fetch_weights.size_text(size) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_seconds_in_words(fetch_weights: ModuleType, seconds: float, expected: str) -> None:
    assert progress.duration(seconds) == expected


def test_the_rate_is_that_of_the_last_seconds(fetch_weights: ModuleType) -> None:
    rate = progress.Rate(10.0)
    assert rate.add(0, 0) == 0
    assert rate.add(10, 1000) == 100
    assert rate.add(20, 1000) == 0, "what came longer ago counts no more"
    assert rate.add(21, 500) == 0 and rate.span == 0, "a file was removed"


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("", None), (None, None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)])
def test_retry_after(fetch_weights: ModuleType, header: Any, expected: Any) -> None:
    assert endpoints.seconds_of(header) == expected


class TestEndpoints:
    """Which endpoint is next."""

    @pytest.fixture
    def three(self, fetch_weights: ModuleType) -> Any:
        return endpoints.Endpoints(["http://one", "http://two", "http://three"], "t", ["http://two"], 60.0)

    def next(self, three: Any, path: str = "f") -> str:
        found = three.pick(path)[0]
        return found.url.removeprefix("http://") if found else ""

    def test_in_the_order_of_the_user(self, three: Any) -> None:
        assert self.next(three) == "one"
        assert [one.token for one in three.all] == ["", "t", ""]

    def test_the_next_one_while_it_rests(self, three: Any) -> None:
        three.all[0].back_off("503")
        assert self.next(three) == "two"
        three.all[0].backoff_until = 0
        assert self.next(three) == "one"

    def test_failures_at_the_same_time_are_one(self, three: Any) -> None:
        for _connection in range(8):
            three.all[0].back_off("503")
        assert three.all[0].failures == 1

    def test_rests_grow_until_bytes_come(self, three: Any) -> None:
        rests = []
        for _try in range(3):
            three.all[0].backoff_until = 0
            three.all[0].back_off("503")
            rests.append(round(three.all[0].backoff_until - time.monotonic()))
        three.all[0].works()
        three.all[0].backoff_until = 0
        three.all[0].back_off("503")
        assert [*rests, round(three.all[0].backoff_until - time.monotonic())] == [1, 2, 4, 1]

    def test_seconds_until_the_first_is_back(self, three: Any) -> None:
        for number, one in enumerate(three.all):
            one.back_off("429", 10.0 * (number + 1))
        endpoint, seconds = three.pick("f")
        assert endpoint is None and 9 < seconds <= 10

    def test_a_slow_one_is_deprioritised_and_of_slow_ones_the_fastest_first(self, three: Any) -> None:
        assert three.too_slow(three.all[0], 100.0)
        assert self.next(three) == "two"
        assert three.too_slow(three.all[1], 300.0)
        assert not three.too_slow(three.all[2], 200.0), "there is none to go to that is not slow"
        three.all[2].slow_until, three.all[2].slow_rate = three.all[0].slow_until, 200.0
        assert self.next(three) == "two"

    def test_wrong_once_is_asked_last_for_that_file(self, three: Any) -> None:
        three.all[0].wrong["f"] = 1
        assert self.next(three) == "two" and self.next(three, "other") == "one"

    def test_wrong_for_many_files_is_asked_no_more(self, three: Any) -> None:
        three.all[0].wrong = {"a": 1, "b": 1, "c": 1}
        assert self.next(three, "other") == "two"

    def test_nobody_has_it(self, three: Any) -> None:
        for one in three.all:
            one.lacks["f"] = "404"
        assert three.pick("f") == (None, float("inf"))


@pytest.mark.parametrize(
    ("status", "said", "head", "expected"),
    [
        (0, "", "HTTP/1.1 200 OK\r\n", ("", 0, None, False, False)),
        (22, "curl: (22)", "HTTP/1.1 302 Found\r\nRetry-After: 9\r\n\r\nHTTP/2 429 \r\nretry-after: 3\r\n", ("429", 429, 3.0, False, False)),
        (22, "", "HTTP/1.1 401 Unauthorized\r\nX-Error-Message: restricted\r\n", ("401 restricted", 401, None, False, False)),
        (23, "curl: (23) Failure writing output", "HTTP/1.1 200 OK\r\n", ("curl: (23) Failure writing output", 0, None, True, False)),
        (33, "curl: (33) no ranges", "HTTP/1.1 200 OK\r\n", ("curl: (33) no ranges", 0, None, False, True)),
        (18, "", "", ("curl ended with status 18", 0, None, False, False)),
    ],
)
def test_what_curl_says(fetch_weights: ModuleType, status: int, said: str, head: str, expected: tuple[Any, ...]) -> None:
    assert tuple(tools.Curl.outcome(status, said, head)) == expected
