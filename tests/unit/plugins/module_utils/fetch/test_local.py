# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pre-staged weights: compared with their manifest, or with what was there first; never changed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _local_weights
from ansible_collections.inferops.gpu.plugins.module_utils.fetch import local as local_program

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "sub/more.safetensors": b""}


@pytest.fixture(name="local")
def _local() -> types.ModuleType:
    return local_program


@pytest.fixture(name="spec")
def _spec(tmp_path: Path) -> dict[str, Any]:
    base = tmp_path / "brought"
    for path, content in FILES.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(content)
    (tmp_path / "verified").mkdir()
    record = str(tmp_path / "verified" / "local.json")
    return {"path": str(base), "mount": "", "repo": "a/b", "revision": "r", "record": record, "status_file": str(tmp_path / "status.json")}


def run(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, Any]]:
    """The program's exit status, and the status file."""
    job = Path(spec["status_file"]).parent / "job.json"
    job.write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["local.py", str(job)])
    return local.main(), json.loads(Path(spec["status_file"]).read_text(encoding="utf-8"))


def manifest(**changed: Any) -> str:
    """The manifest of the files, with other contents for some; None leaves a file out."""
    contents = {**FILES, **changed}
    rows = [{"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in contents.items() if data is not None]
    return json.dumps({"files": rows})


def verified(spec: dict[str, Any]) -> list[str]:
    """What a host's facts say is verified."""
    return _local_weights.verified_paths(str(Path(spec["record"]).parent.parent))


def test_first_sight(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manifest the files are taken for right, which is reported, and compared with that from then on."""
    (Path(spec["path"]) / ".git").mkdir()
    (Path(spec["path"]) / ".git" / "index").write_text("", encoding="utf-8")
    status, said = run(local, spec, monkeypatch)
    assert (status, "trusted on first use because they have no manifest" in said["text"]) == (0, True)
    record = json.loads(Path(spec["record"]).read_text(encoding="utf-8"))
    assert [file["path"] for file in record["files"]] == sorted(FILES)
    assert verified(spec) == [spec["path"]]
    path = Path(spec["path"]) / "model.safetensors"
    path.write_bytes(b"wEights")
    assert verified(spec) == []
    status, said = run(local, spec, monkeypatch)
    assert status == 3
    assert "model.safetensors has a different sha256" in said["error"]
    assert f"remove {spec['record']}" in said["fix"]
    path.unlink()
    assert "model.safetensors is missing" in run(local, spec, monkeypatch)[1]["error"]


def test_a_new_time_alone_is_looked_at_again(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And is all right."""
    assert run(local, spec, monkeypatch)[0] == 0
    os.utime(Path(spec["path"]) / "config.json", (1, 1))
    assert verified(spec) == []
    assert run(local, spec, monkeypatch)[0] == 0
    assert verified(spec) == [spec["path"]]


@pytest.mark.parametrize("inside", [True, False])
def test_a_manifest_counts(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    """Beside the folder or in it; more files than it lists do not matter."""
    where = Path(spec["path"]) / "manifest.json" if inside else Path(spec["path"] + ".manifest.json")
    where.write_text(manifest(**{"sub/more.safetensors": None}), encoding="utf-8")
    status, said = run(local, spec, monkeypatch)
    assert (status, "no manifest" in said["text"]) == (0, False)
    assert json.loads(Path(spec["record"]).read_text(encoding="utf-8"))["manifest"] == str(where)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (manifest(**{"model.safetensors": b"weighty"}), "model.safetensors has a different sha256"),
        (manifest(**{"model.safetensors": b"weights and more"}), "model.safetensors has 7 bytes instead of 16"),
        (manifest(**{"absent.json": b"x"}), "absent.json is missing"),
        ("{}", "is not a manifest"),
        ("not json", "is not a manifest"),
        ('{"files": [{"path": "config.json"}]}', "is not a manifest"),
    ],
)
def test_what_is_wrong_is_told(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    """And nothing is recorded."""
    Path(spec["path"] + ".manifest.json").write_text(text, encoding="utf-8")
    status, told = run(local, spec, monkeypatch)
    assert (status, said in told["error"]) == (3, True), told
    assert not Path(spec["record"]).exists()


def test_a_mount_that_is_not_there(local: types.ModuleType, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have gone since the plan looked."""
    assert "nothing is mounted" in run(local, {**spec, "mount": spec["path"]}, monkeypatch)[1]["error"]


@pytest.mark.parametrize("text", ["", "[]", '{"path": 5}', '{"path": "/x", "files": [5]}', '{"path": "/x", "files": [{"path": "a"}]}'])
def test_a_broken_record_vouches_for_nothing(tmp_path: Path, text: str) -> None:
    """It is made again then."""
    (tmp_path / "verified").mkdir()
    (tmp_path / "verified" / "a.json").write_text(text, encoding="utf-8")
    assert _local_weights.verified_paths(str(tmp_path)) == []
