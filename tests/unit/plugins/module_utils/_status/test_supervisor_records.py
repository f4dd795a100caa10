# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What supervisors have recorded, in directories that their accounts may write: links, pipes and large files are no way to other files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils._status import records

UNIT = "vllm-a.service"


def log(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "output.log").write_text(text, encoding="utf-8")


def test_the_newest_failure(tmp_path: Path) -> None:
    log(tmp_path, "20261125T140311Z", "2026-11-25 14:03:11 UTC: old\n\nlines")
    log(tmp_path, "20261126T140311Z-2", "2026-11-26 14:03:11 UTC: \x1b[31mthe engine has ended with key sk-abcdefgh12345678\n\nTraceback\n")
    log(tmp_path, "20261126T140311Z", "2026-11-26 14:03:11 UTC: first\n")
    log(tmp_path, "zzz", "2026-11-27 14:03:11 UTC: not a log\n")
    log(tmp_path, "20269999T999999Z", "2026-11-27 14:03:11 UTC: no time\n")
    assert records.last_failure(str(tmp_path)) == {
        "at": "2026-11-26T14:03:11+00:00", "reason": "[31mthe engine has ended with key (hidden)", "path": str(tmp_path / "20261126T140311Z-2"),
    }


@pytest.mark.parametrize("kind", ["missing", "link", "pipe", "folder", "folder_link"])
def test_a_log_that_is_a_trap(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("2026-11-26 14:03:11 UTC: root's secret\n", encoding="utf-8")
    folder = tmp_path / "logs" / "20261126T140311Z"
    if kind == "folder_link":
        log(tmp_path / "other", "output", "2026-11-26 14:03:11 UTC: root's secret\n")
        folder.parent.mkdir()
        # The directory of logs is the service's: a link in it is not followed.
        folder.parent.chmod(0o777)
        folder.symlink_to(tmp_path / "other" / "output")
    else:
        folder.mkdir(parents=True)
    file = folder / "output.log"
    if kind == "link":
        file.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    found = records.last_failure(str(folder.parent))
    assert found is not None and (found["at"], found["reason"]) == ("2026-11-26T14:03:11+00:00", "")


def test_no_failure(tmp_path: Path) -> None:
    assert records.last_failure(str(tmp_path / "none")) is None and records.last_failure(str(tmp_path)) is None


def test_what_a_supervisor_has_saved(tmp_path: Path) -> None:
    (tmp_path / "vllm-a").mkdir()
    file = tmp_path / "vllm-a" / "state.json"
    file.write_text(json.dumps({"failed": 3, "text": "starting:\x1b the engine", "missing": {"gpu2": "2026"}}), encoding="utf-8")
    assert records.supervisor(UNIT, str(tmp_path)) == records.Record(3, "starting: the engine", ("gpu2",))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"failed": "3", "text": 5, "missing": []}', '{"failed": -1}', "[" * 50000, '{"failed": 1e999}'])
def test_a_record_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "vllm-a").mkdir()
    (tmp_path / "vllm-a" / "state.json").write_text(text, encoding="utf-8")
    assert records.supervisor(UNIT, str(tmp_path)) == records.Record()
    assert records.supervisor("vllm-b.service", str(tmp_path)) == records.Record()


ANSWERED = [(1764237600, "2025-11-27T10:00:00+00:00"), (0, ""), ("1764237600", ""), (-5, ""), (1e300, ""), (True, ""), (None, "")]


@pytest.mark.parametrize(("saved", "expected"), ANSWERED)
def test_when_the_engine_last_answered(tmp_path: Path, saved: object, expected: str) -> None:
    """In seconds since 1970, from a file that the service's account may write."""
    (tmp_path / "vllm-a").mkdir()
    (tmp_path / "vllm-a" / "state.json").write_text(json.dumps({"failed": 0, "answered": saved}), encoding="utf-8")
    assert records.supervisor(UNIT, str(tmp_path)).answered == expected
