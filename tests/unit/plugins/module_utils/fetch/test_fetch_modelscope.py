# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that downloads, with a ModelScope server alone and beside a mirror of the Hub."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import modelscope_server
import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import endpoints
from make_repository import make as make_repository

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
SHARD = 300_000
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
SMALL = ["README.md", "config.json", "empty.txt"]
TOKEN = "ms-0123456789"
MODELSCOPE_COMMIT = modelscope_server.COMMIT


class Lab:
    """A repository at a mirror of the Hub and at a ModelScope server, and the specification of its download."""

    def __init__(self, base: Path, program: ModuleType, mirror: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self.program, self.mirror, self.monkeypatch = base, program, mirror, monkeypatch
        self.commit = make_repository(base / "models", "a/b", 2, SHARD)
        self.rows = json.loads((base / "models" / "a--b" / "repo.json").read_text())["revisions"][self.commit]["files"]
        source = base / "models" / "a--b" / self.commit
        self.texts = {name: (source / name).read_bytes() for name in [*SHARDS, *SMALL]}
        self.server = modelscope_server.Server("a/b", dict(self.texts))
        self.spec: dict[str, Any] = {
            "repo": "a/b", "revision": "r1", "token_endpoints": [], "max_workers": 2, "min_rate": 1, "rate_seconds": 5, "stall_timeout": 5,
            "path": str(base / "r1"), "manifest": str(base / "r1.manifest.json"), "status_file": str(base / "status.json"),
        }

    def by_modelscope(self, *endpoints: str) -> None:
        """Commit and hashes are ModelScope's."""
        files = [{"path": name, "size": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in sorted(self.texts.items())]
        self.spec.update(commit=MODELSCOPE_COMMIT, endpoint=self.server.endpoint, endpoints=list(endpoints), files=files)

    def by_hub(self, *endpoints: str, equal: list[str] | None = None) -> None:
        """Commit and hashes are the Hub's."""
        files = [
            {"path": row["path"], "size": row["size"], **({"sha256": row["lfs"]["oid"]} if "lfs" in row else {"git_sha1": row["oid"]})}
            for row in self.rows if row["path"] in self.texts
        ]
        listed = {self.server.endpoint: {"revision": "master", "files": sorted(self.texts) if equal is None else equal}}
        self.spec.update(commit=self.commit, endpoint=self.mirror.url, endpoints=list(endpoints), files=files, equal=listed)

    def run(self, token: str = "") -> int:
        (self.base / "spec.json").write_text(json.dumps(self.spec))
        self.monkeypatch.setattr(sys, "argv", ["fetch", str(self.base / "spec.json")])
        self.monkeypatch.setenv("HF_TOKEN", token)
        return int(self.program.main())

    def begun(self, name: str, size: int) -> None:
        (self.base / "r1.partial").mkdir(exist_ok=True)
        (self.base / "r1.partial" / name).write_bytes(self.texts[name][:size])

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.base / "r1.manifest.json").read_text())
        return found

    def is_complete(self) -> None:
        assert {path.name: path.read_bytes() for path in (self.base / "r1").iterdir()} == self.texts
        assert {file["path"]: file["sha256"] for file in self.manifest()["files"]} == {name: hashlib.sha256(text).hexdigest() for name, text in self.texts.items()}

    def error(self) -> str:
        return str(json.loads((self.base / "status.json").read_text()).get("error", ""))

    def from_mirror(self) -> set[str]:
        """Files of which the mirror has sent more than the byte that tells where its data comes from."""
        return {name for name, row in self.mirror.files().items() if row["bytes"] > 1}


@pytest.fixture
def lab(tmp_path: Path, fetch_weights: ModuleType, mirrors: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab(tmp_path, fetch_weights, mirrors[0], monkeypatch)
    yield made
    made.server.close()


def test_alone(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the redirect to its storage; the manifest says who named the hashes."""
    lab.by_modelscope(lab.server.endpoint)
    assert lab.run() == 0
    lab.is_complete()
    assert (lab.manifest()["endpoint"], lab.manifest()["commit"]) == (lab.server.endpoint, MODELSCOPE_COMMIT)
    assert f"{lab.server.endpoint}: data from localhost:" in capsys.readouterr().out


def test_wrong_bytes(lab: Lab) -> None:
    """The sha256 of the list is verified."""
    lab.by_modelscope(lab.server.endpoint)
    lab.server.behave(flip=[SHARDS[1]])
    assert lab.run() == 3 and not (lab.base / "r1").exists()
    assert SHARDS[1] in lab.error() and "wrong bytes, 3 times" in lab.error()


def test_hub_is_not_asked_for_a_commit_of_modelscope(lab: Lab) -> None:
    lab.by_modelscope(lab.mirror.url, lab.server.endpoint)
    assert lab.run() == 0
    lab.is_complete()
    assert not lab.mirror.files()


def test_failing_alone_names_both(lab: Lab) -> None:
    """The error says why the other one was of no use."""
    lab.by_modelscope(lab.mirror.url, lab.server.endpoint)
    lab.server.behave(status=404)
    assert lab.run() == 3
    assert "the commit is one of ModelScope" in lab.error() and "404" in lab.error()


def test_hashes_of_the_hub_and_contents_of_modelscope(lab: Lab) -> None:
    """What ModelScope's list does not have in the same contents comes from the Hub, and is not asked for at ModelScope."""
    lab.texts["config.json"], different = lab.texts["config.json"], b"{}"
    lab.server.files["config.json"] = different
    lab.by_hub(lab.server.endpoint, lab.mirror.url, equal=sorted(set(lab.texts) - {"config.json"}))
    assert lab.run() == 0
    lab.is_complete()
    assert lab.from_mirror() == {"config.json"} and "config.json" not in lab.server.paths()
    assert lab.manifest()["endpoint"] == lab.mirror.url and lab.manifest()["commit"] == lab.commit


def test_a_small_file_of_the_same_size(lab: Lab) -> None:
    """Its size was all that could be compared. Git's hash tells, and the Hub's own file is fetched."""
    text = lab.texts["config.json"]
    lab.server.files["config.json"] = bytes([text[0] ^ 1]) + text[1:]
    lab.by_hub(lab.server.endpoint, lab.mirror.url)
    assert lab.run() == 0
    lab.is_complete()
    assert lab.from_mirror() == {"config.json"} and "config.json" in lab.server.paths()


@pytest.mark.parametrize("equal", [{}, {"modelscope+http://other": {"revision": "", "files": SHARDS}}, None])
def test_without_its_list_modelscope_is_not_used(lab: Lab, equal: Any) -> None:
    """It failed when the lists were compared, or a specification of an earlier version has no such key."""
    lab.by_hub(lab.server.endpoint, lab.mirror.url)
    del lab.spec["equal"]
    lab.spec.update({} if equal is None else {"equal": equal})
    assert lab.run() == 0
    lab.is_complete()
    assert not lab.server.requests


def test_modelscope_goes_in_the_middle(lab: Lab) -> None:
    """The mirror sends the rest of the partial file, not the whole again."""
    lab.by_hub(lab.server.endpoint, lab.mirror.url)
    lab.spec["max_workers"] = 1
    lab.server.behave(cut=100_000, gone_after_cut=True)
    assert lab.run() == 0
    lab.is_complete()
    sent = {name: lab.mirror.files()[name]["bytes"] for name in SHARDS}
    assert sorted(sent.values())[0] in (SHARD - 100_000, SHARD - 100_000 + 1)


def test_the_mirror_goes_in_the_middle(lab: Lab) -> None:
    """ModelScope sends the rest."""
    lab.by_hub(lab.mirror.url, lab.server.endpoint)
    lab.begun(SHARDS[0], 200_000)
    lab.mirror.behave(status=404, paths=SHARDS)
    assert lab.run() == 0
    lab.is_complete()
    ranges = [headers.get("Range") for path, headers in lab.server.stored if SHARDS[0] in path]
    assert "bytes=200000-" in ranges and lab.from_mirror() <= set(SMALL)


def test_a_small_file_without_ranges_begins_again(lab: Lab) -> None:
    """ModelScope sends it whole, whatever range is asked for."""
    lab.by_modelscope(lab.server.endpoint)
    lab.begun("config.json", 3)
    lab.begun(SHARDS[0], 100_000)
    assert lab.run() == 0
    lab.is_complete()
    assert any(headers.get("Range") == "bytes=100000-" for path, headers in lab.server.stored if SHARDS[0] in path)


@pytest.mark.parametrize(("url", "others"), [("modelscope+https://m", True), ("https://hub", False)])
def test_that_one_file_has_no_ranges(url: str, others: bool) -> None:
    """Says nothing about ModelScope's storage, which has the large files; of the Hub or a mirror it says all."""
    endpoint = endpoints.Endpoint(url, "")
    assert endpoint.resumes("config.json")
    endpoint.cannot_resume("config.json")
    assert not endpoint.resumes("config.json") and endpoint.resumes("model.safetensors") is others


def test_too_slow_beside_modelscope() -> None:
    """It is an alternative where it has any of the files."""
    both = endpoints.Endpoints(["https://hub", "modelscope+https://m"], "", [], 60)
    endpoints.limit(both.all, "https://hub", {})
    assert not both.too_slow(both.all[0], 1.0)
    endpoints.limit(both.all, "https://hub", {"modelscope+https://m": {"revision": "c", "files": ["x"]}})
    assert both.too_slow(both.all[0], 1.0)
    assert "y is not there, or has a different size or sha256" in both.report("y")


@pytest.mark.parametrize("recipient", ["modelscope", "hub", "none"])
def test_token_goes_to_its_own_server_alone(lab: Lab, recipient: str) -> None:
    """To ModelScope as header and cookie, not to its storage, and not to the other endpoint."""
    lab.by_hub(lab.server.endpoint, lab.mirror.url, equal=SHARDS)
    lab.spec["token_endpoints"] = {"modelscope": [lab.server.endpoint], "hub": [lab.mirror.url], "none": []}[recipient]
    if recipient == "modelscope":
        lab.server.behave(token=TOKEN)
    assert lab.run(TOKEN) == 0
    lab.is_complete()
    assert lab.from_mirror() <= set(SMALL)
    assert {TOKEN in str(headers) for _path, headers in lab.server.requests} == {recipient == "modelscope"}
    assert lab.server.stored and all(TOKEN not in str(headers) and "Cookie" not in headers for _path, headers in lab.server.stored)
    assert {row["tokens"] > 0 for name, row in lab.mirror.files().items() if name in SMALL} == {recipient == "hub"}
