# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The download script around the client: what it takes for complete, and what it does with what an earlier start left."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BIG, SMALL = b"weights" * 1000, b'{"model_type": "x"}'

# Stands where the official client stands: writes what it is told to below --local-dir and counts its starts.
CLIENT = """#!{python}
import json, os, sys
here = os.path.dirname(__file__)
target = sys.argv[sys.argv.index("--local-dir") + 1]
count = os.path.join(here, "starts")
starts = int(open(count).read()) + 1 if os.path.exists(count) else 1
open(count, "w").write(str(starts))
answers = json.load(open(os.path.join(here, "answers.json")))
answer = answers[min(starts, len(answers)) - 1]
if "error" in answer:
    sys.exit(answer["error"])
os.makedirs(os.path.join(target, ".cache"), exist_ok=True)
for name, text in answer.items():
    if not os.path.exists(os.path.join(target, name)):
        open(os.path.join(target, name), "w").write(text)
"""
RIGHT = {"model.safetensors": BIG.decode(), "config.json": SMALL.decode()}


class Lab:
    """A folder with a client in it, and the specification of a download."""

    def __init__(self, base: Path, script: ModuleType) -> None:
        self.base, self.script = base, script
        client = base / "hf"
        client.write_text(CLIENT.format(python=sys.executable))
        client.chmod(0o755)
        self.path = base / "r1"
        self.spec: dict[str, Any] = {
            "repo": "a/b", "revision": "r1", "commit": "c1", "endpoint": "http://mirror", "exclude": [], "hf": str(client), "max_workers": 2,
            "path": str(self.path), "manifest": str(base / "r1.manifest.json"), "status_file": str(base / "status.json"),
            "files": [
                {"path": "config.json", "size": len(SMALL), "git_sha1": hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL).hexdigest()},
                {"path": "model.safetensors", "size": len(BIG), "sha256": hashlib.sha256(BIG).hexdigest()},
            ],
        }

    def run(self, *answers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
        (self.base / "answers.json").write_text(json.dumps(answers))
        (self.base / "spec.json").write_text(json.dumps(self.spec))
        monkeypatch.setattr(sys, "argv", ["fetch_weights.py", str(self.base / "spec.json")])
        return int(self.script.main())

    @property
    def starts(self) -> int:
        return int((self.base / "starts").read_text()) if (self.base / "starts").exists() else 0

    def status(self) -> dict[str, Any]:
        return json.loads((self.base / "status.json").read_text())

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.base / "r1.manifest.json").read_text())


@pytest.fixture
def lab(tmp_path: Path, fetch_weights: ModuleType) -> Lab:
    return Lab(tmp_path, fetch_weights)


def test_complete_and_verified(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.run(RIGHT, monkeypatch=monkeypatch) == 0
    assert sorted(path.name for path in lab.path.iterdir()) == ["config.json", "model.safetensors"]
    assert lab.manifest()["files"][1] == {"path": "model.safetensors", "size": len(BIG), "sha256": hashlib.sha256(BIG).hexdigest()}
    assert not (lab.base / "r1.partial").exists()


def test_a_wrong_byte_of_the_right_size_is_fetched_again_and_only_that_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**RIGHT, "model.safetensors": "X" + RIGHT["model.safetensors"][1:]}
    assert lab.run(wrong, {"model.safetensors": RIGHT["model.safetensors"]}, monkeypatch=monkeypatch) == 0
    assert lab.starts == 2


@pytest.mark.parametrize("broken", [{"model.safetensors": "short"}, {"config.json": "[]"}], ids=["truncated", "small file changed"])
def test_an_endpoint_that_keeps_lying_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]) -> None:
    assert lab.run({**RIGHT, **broken}, monkeypatch=monkeypatch) == 1
    assert lab.starts == lab.script.ROUNDS
    assert "http://mirror sent wrong bytes" in lab.status()["error"]
    assert not lab.path.exists() and not (lab.base / "r1.manifest.json").exists()


def test_a_client_that_fails_is_quoted_and_what_it_fetched_is_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.script, "PAUSES", ())
    assert lab.run({"error": "ConnectionError: mirror is gone"}, monkeypatch=monkeypatch) == 1
    assert "mirror is gone" in lab.status()["error"]
    (lab.base / "r1.partial" / "config.json").write_bytes(SMALL)
    assert lab.run({"model.safetensors": BIG.decode()}, monkeypatch=monkeypatch) == 0


def test_a_start_that_died_before_the_manifest_fetches_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.path.mkdir()
    (lab.path / "config.json").write_bytes(SMALL)
    (lab.path / "model.safetensors").write_bytes(BIG)
    assert lab.run(RIGHT, monkeypatch=monkeypatch) == 0
    assert lab.starts == 0 and lab.manifest()["commit"] == "c1"


def test_files_under_the_final_name_that_are_not_right_are_not_trusted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.path.mkdir()
    (lab.path / "config.json").write_bytes(b"changed by hand")
    assert lab.run(RIGHT, monkeypatch=monkeypatch) == 0
    assert lab.starts == 1 and (lab.path / "config.json").read_bytes() == SMALL


def test_beginnings_of_a_killed_client_are_removed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    left = lab.base / "r1.partial" / ".cache" / "huggingface" / "download" / "abc.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    lab.script.drop_leftovers(str(lab.base / "r1.partial"))
    assert not left.exists()


def test_a_mirror_that_is_gone_for_a_moment_is_asked_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.script, "PAUSES", (0.0, 0.0))
    assert lab.run({"error": "503"}, {"error": "503"}, RIGHT, monkeypatch=monkeypatch) == 0
    assert lab.starts == 3


def test_patience_ends(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.script, "PAUSES", (0.0, 0.0))
    assert lab.run({"error": "503"}, monkeypatch=monkeypatch) == 1
    assert lab.starts == 3


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (5 * 1024**2, "5 MiB"), (1024**3 - 1, "1024 MiB"), (1.5 * 1024**3, "1.50 GiB")],
)
def test_sizes_in_words(fetch_weights: ModuleType, size: float, expected: str) -> None:
    assert fetch_weights.words(size) == expected
