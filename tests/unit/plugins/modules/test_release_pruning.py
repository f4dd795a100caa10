# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on a host: which go and which stay, and that nothing is ever half there under a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _releases, _systemd
from ansible_collections.inferops.gpu.plugins.modules import prune_releases

DAY = 24 * 3600


def make(directory: Path, *names: str) -> None:
    """Releases in the order of their last use, a day apart, the newest last."""
    for number, name in enumerate(names):
        folder = directory / name
        folder.mkdir(parents=True)
        (folder / "release.json").write_text(json.dumps({"name": name}), encoding="utf-8")
        os.utime(folder / "release.json", (number * DAY, number * DAY))


SURPLUS: list[tuple[str, set[str], set[str], int, list[str]]] = [
    ("all named", {"a", "b", "c", "d"}, set(), 0, []),
    ("none kept", {"d"}, set(), 0, ["a", "b", "c"]),
    ("the newest are kept", {"d"}, set(), 2, ["a"]),
    ("an old one that is named", {"a"}, set(), 1, ["b", "c"]),
    ("more to keep than there are", {"a"}, set(), 9, []),
    ("what is needed stays, whatever is to be kept", {"d"}, {"a"}, 0, ["b", "c"]),
    ("what is needed counts among those kept", {"d"}, {"a"}, 2, ["b"]),
    ("a named one that is needed does not count", {"d"}, {"d"}, 1, ["a", "b"]),
    ("something needed that is not there", {"d"}, {"x"}, 1, ["a", "b"]),
]


@pytest.mark.parametrize(("named", "needed", "keep", "expected"), [case[1:] for case in SURPLUS], ids=[case[0] for case in SURPLUS])
def test_surplus(named: set[str], needed: set[str], keep: int, expected: list[str]) -> None:
    found = {name: float(number) for number, name in enumerate("abcd")}
    assert _releases.surplus(found, named, needed, keep) == expected


def test_only_what_was_made_here_is_a_release(tmp_path: Path) -> None:
    make(tmp_path, "vllm-1")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "release.json").write_text('{"name": "vllm-1"}', encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "vllm-1")
    assert _releases.complete(str(tmp_path)) == ["vllm-1"]


def test_a_running_process_is_found_by_what_it_was_started_with_is_in_and_has_mapped(tmp_path: Path) -> None:
    make(tmp_path, "started", "in", "idle")
    program = tmp_path / "started" / "program.py"
    program.write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n", encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(program)], cwd=tmp_path / "in", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        used = _releases.used_by_processes(str(tmp_path))
        _releases.mark_used(str(tmp_path))
        process.stdin.close()
    assert used == {"started", "in"}
    times = _releases.ours(str(tmp_path))
    assert times["idle"] == 2 * DAY < min(times["started"], times["in"])
    mapped = tmp_path / "proc" / "7"
    mapped.mkdir(parents=True)
    (mapped / "maps").write_text(f"7f00-7f01 r-xp 0 08:01 7   {tmp_path}/gone/lib/x.so (deleted)\n", encoding="utf-8")
    assert _releases.used_by_processes(str(tmp_path), str(tmp_path / "proc")) == {"gone"}


def test_names_in_texts() -> None:
    told = ["ExecStart=/opt/r/vllm-1/bin/vllm serve", '{"release_path": "/opt/r/vllm-2"}', "/opt/rr/vllm-3 /opt/r"]
    assert _releases.named_in(told, "/opt/r") == {"vllm-1", "vllm-2"}


def test_size_leaves_out_what_the_cache_has_as_well(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "own").write_bytes(b"x" * 8192)
    (tmp_path / "release" / "shared").write_bytes(b"x" * 81920)
    os.link(tmp_path / "release" / "shared", tmp_path / "cached")
    assert 8192 <= _releases.size(str(tmp_path / "release")) < 81920


def test_a_release_loses_its_name_before_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "vllm-1")

    def die(path: str, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError("killed")

    monkeypatch.setattr(_releases.shutil, "rmtree", die)
    with pytest.raises(OSError, match="killed"):
        _releases.remove(str(tmp_path), "vllm-1")
    assert _releases.complete(str(tmp_path)) == [] and _releases.unfinished(str(tmp_path)) == [".removing-vllm-1"]


class Systemd:
    """What units do, and what systemctl was told."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states = states
        self.told: list[str] = []

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        return {"ActiveState": self.states.get(unit, "inactive")}

    def systemctl(self, *arguments: str) -> str:
        self.told.append(" ".join(arguments))
        return ""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A host of its own: units, records and releases below tmp_path."""
    for name in ("units", "state/served", "state/jobs", "releases"):
        (tmp_path / name).mkdir(parents=True)
    found = Systemd({})
    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(tmp_path / "units"))
    monkeypatch.setattr(_systemd, "show", found.show)
    monkeypatch.setattr(_systemd, "systemctl", found.systemctl)
    return found


def prune(base: Path, named: set[str], keep: int, check_mode: bool = False) -> dict[str, object]:
    return prune_releases.prune(str(base / "releases"), str(base / "state"), named, keep, check_mode)


def test_what_units_and_records_name_stays(tmp_path: Path, systemd: Systemd) -> None:
    releases = tmp_path / "releases"
    make(releases, "by-unit", "by-unmanaged-unit", "by-record", "old", "named")
    (tmp_path / "units" / "vllm-a.service").write_text(f"{_host.UNIT_MARK}\nExecStart={releases}/by-unit/bin/vllm\n", encoding="utf-8")
    (tmp_path / "units" / "other.service").write_text(f"ExecStart={releases}/by-unmanaged-unit/bin/vllm\n", encoding="utf-8")
    (tmp_path / "state" / "served" / "a.json").write_text(json.dumps({"release_path": f"{releases}/by-record"}), encoding="utf-8")
    result = prune(tmp_path, {"named"}, 0)
    assert [row["name"] for row in result["pruned"]] == ["by-unmanaged-unit", "old"]
    assert _releases.complete(str(releases)) == ["by-record", "by-unit", "named"] and result["kept"] == ["by-record", "by-unit"]


def test_check_mode_only_tells(tmp_path: Path, systemd: Systemd) -> None:
    make(tmp_path / "releases", "old", "named")
    result = prune(tmp_path, {"named"}, 0, check_mode=True)
    assert result["changed"] and _releases.complete(str(tmp_path / "releases")) == ["named", "old"]
    assert prune(tmp_path, {"named"}, 0)["changed"] and not prune(tmp_path, {"named"}, 0)["changed"]


def test_leftovers_go_unless_somebody_is_at_work(tmp_path: Path, systemd: Systemd) -> None:
    for name in (".building-dead", ".building-alive", ".removing-half", "unmanaged"):
        (tmp_path / "releases" / name).mkdir()
    systemd.states["inferops-release-alive.service"] = "activating"
    prune(tmp_path, set(), 0)
    assert sorted(os.listdir(tmp_path / "releases")) == [".building-alive", "unmanaged"]


def test_units_of_builds_that_have_nothing_to_do_go(tmp_path: Path, systemd: Systemd) -> None:
    make(tmp_path / "releases", "standing", "pruned", "named")
    for name in ("failed", "standing", "pruned", "wanted", "alive"):
        (tmp_path / "units" / f"inferops-release-{name}.service").touch()
        (tmp_path / "state" / "jobs" / f"release-{name}.status.json").touch()
    systemd.states.update({"inferops-release-failed.service": "failed", "inferops-release-alive.service": "activating"})
    os.utime(tmp_path / "releases" / "standing" / "release.json")
    result = prune(tmp_path, {"named", "wanted"}, 1)
    assert sorted(result["units"]) == ["inferops-release-failed.service", "inferops-release-pruned.service"]
    assert systemd.told == ["reset-failed inferops-release-failed.service", "daemon-reload"]
    left = sorted(name for name in os.listdir(tmp_path / "units"))
    assert left == [f"inferops-release-{name}.service" for name in ("alive", "standing", "wanted")]
    assert sorted(os.listdir(tmp_path / "state" / "jobs")) == [f"release-{name}.status.json" for name in ("alive", "standing", "wanted")]
