# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the collector reads, and that one failing part costs no other."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_collections.inferops.gpu.plugins.module_utils._status import gpus as status_gpus
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import collect, nvidia_report, verdict
from ansible_collections.inferops.gpu.plugins.module_utils.metrics import families, gpus, main, services, storage, text

DATA = Path(__file__).parents[1] / "gpu_health" / "data"
UNIT: dict[str, Any] = {
    "unit": "vllm-a.service", "service": "a", "role": "single", "workers": [], "active": "active", "status": "serving", "failed_starts": 0, "restarts": 2,
    "since": "2026-11-27T10:00:00+00:00", "answered": "2026-11-27T10:05:00+00:00", "memory_bytes": 5, "missing_nodes": [], "engine": None, "changed": [],
    "last_failure": {"at": "2026-11-27T09:00:00+00:00", "reason": "x", "path": "/x"}, "release": "vllm-1", "model": "m", "revision": "r", "scheme": "http",
    "certificate": {"path": "/c.pem", "expires": "2027-01-02T00:00:00+00:00", "served_expires": "2027-01-01T00:00:00+00:00"},
}


def values(samples: list[Any], name: str) -> dict[str, float]:
    """The values of a metric by its labels, which are those that docs/monitoring.md has."""
    assert all(" ".join(labels) == families.FAMILIES[found].labels for found, labels, _value in samples)
    return {" ".join(labels.values()): value for found, labels, value in samples if found == f"inferops_{name}"}


def test_a_unit() -> None:
    samples = services.of_unit(UNIT)
    assert {name for name, _labels, _value in samples} <= set(families.FAMILIES)
    own = "a vllm-a.service"
    states = ("failed", "degraded", "stopped", "starting", "serving")
    assert values(samples, "service_state") == {f"{own} {state}": float(state == "serving") for state in states}
    assert values(samples, "service_info") == {f"{own} vllm-1 m r": 1}
    assert values(samples, "service_generation") == {own: 3} and values(samples, "service_restarts_total") == {own: 2}
    assert values(samples, "service_probe_timestamp_seconds")[own] - values(samples, "service_since_timestamp_seconds")[own] == 300
    # What the running service serves, not the renewed file.
    assert values(samples, "certificate_expiry_timestamp_seconds") == {"a /c.pem": services.seconds("2027-01-01T00:00:00+00:00")}
    assert values(samples, "service_changed_outside") == {own: 0} and not values(samples, "service_nodes")


def test_a_unit_that_does_not_run() -> None:
    """What is not known has no series."""
    stopped = {**UNIT, "active": "inactive", "memory_bytes": None, "answered": "", "last_failure": None, "certificate": None, "changed": [{"what": "drop_in"}]}
    samples = services.of_unit(stopped)
    assert values(samples, "service_state")["a vllm-a.service stopped"] == 1 and values(samples, "service_generation") == {"a vllm-a.service": 0}
    assert values(samples, "service_changed_outside") == {"a vllm-a.service": 1}
    assert not any(values(samples, name) for name in ("service_memory_bytes", "service_probe_timestamp_seconds", "certificate_expiry_timestamp_seconds"))


def test_a_leader_and_its_nodes() -> None:
    leader = {**UNIT, "role": "leader", "workers": ["engine", "n1", "n2"], "missing_nodes": ["n2"], "active": "activating", "status": "degraded: node n2"}
    samples = services.of_unit(leader)
    assert values(samples, "service_nodes") == {"a": 3} and values(samples, "service_nodes_connected") == {"a": 2}
    assert values(samples, "service_node_missing") == {"a n2": 1}
    assert values(services.of_unit({**leader, "active": "failed"}), "service_nodes_connected") == {"a": 0}


def test_advisories_are_for_the_release_that_runs() -> None:
    planned = {"a": {"release": "vllm-1", "advisories": [{"name": "x", "severity": "warning"}, "broken"]}}
    assert values(services._advisories(UNIT, planned), "advisory") == {"a x warning": 1}
    assert services._advisories({**UNIT, "release": "vllm-0"}, planned) == [] and services._advisories(UNIT, {"a": 7}) == []


def test_last_known_good(tmp_path: Path) -> None:
    assert values(services._of_service("a", str(tmp_path)), "service_last_known_good") == {"a": 0}


def examined(name: str, *findings: dict[str, Any], events: Any = (), error: str = "") -> collect.Examination:
    return collect.Examination(nvidia_report.parse((DATA / name).read_text(encoding="utf-8")), list(events), list(findings), error)


def health(monkeypatch: pytest.MonkeyPatch, found: collect.Examination, named: list[int] | None = None, known: Any = ()) -> list[Any]:
    monkeypatch.setattr(gpus.shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(_host, "read_services", lambda: [{"unit": "vllm-a.service", "service": "a", "gpus": named}])
    monkeypatch.setattr(collect, "examine", lambda *_arguments: found)
    return gpus.health(known)


def test_health_of_a_gpu_with_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined("a800-reset.xml")
    findings = verdict.of_gpus(found.gpus)
    event = {"kind": "xid", "bus": found.gpus[0]["bus"], "code": 79, "count": 2, "time": 1764000000.5}
    other = {"kind": "xid", "bus": "0000:ff:00", "code": 13, "count": 1, "time": 1.0}
    samples = health(monkeypatch, examined("a800-reset.xml", *findings, events=[event, other]), [0, 7])
    uuid = found.gpus[0]["uuid"]
    assert values(samples, "gpu_usable") == {f"0 {uuid}": 0} and values(samples, "gpu_finding")[f"0 {uuid} gpu-recovery error"] == 1
    assert values(samples, "gpu_ecc_uncorrectable") == {f"0 {uuid}": 32}
    assert values(samples, "gpu_xids") == {f"0 {uuid} 79 reboot": 2, " 0000:ff:00 13 restart_service": 1}
    assert values(samples, "gpu_xid_last_timestamp_seconds") == {f"0 {uuid} 79 reboot": 1764000000.5, " 0000:ff:00 13 restart_service": 1}
    assert values(samples, "gpu_missing") == {"7 a": 1}
    assert values(samples, "gpu_throttled")[f"0 {uuid} heat"] == 0


def test_a_driver_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of single GPUs then, so none is missing; no service can use the ones that it names."""
    (error,) = verdict.of_error("Failed to initialize NVML: Driver/library version mismatch")
    samples = health(monkeypatch, collect.Examination([], [], [error], "Driver/library version mismatch"), [0])
    assert values(samples, "gpu_finding") == {"  gpu-driver error": 1} and not values(samples, "gpu_missing")
    assert values(samples, "gpu_usable") == {"0 ": 0}


@pytest.mark.parametrize(("said", "usable"), [("Failed to initialize NVML: Driver/library version mismatch", 0), ("nvidia-smi gave no answer", 1)])
def test_a_driver_that_has_stopped_working(monkeypatch: pytest.MonkeyPatch, said: str, usable: int) -> None:
    """What was known of its GPUs stays, so that their alerts do; with a dead driver none is usable. Findings and XIDs are those of now."""
    labels = {"gpu": "3", "uuid": "GPU-a"}
    known = [["inferops_gpu_usable", labels, 1.0], ["inferops_gpu_missing", {"gpu": "7", "service": "a"}, 1.0]]
    known += [["inferops_gpu_finding", {**labels, "finding": "gpu-ecc", "level": "warning"}, 1.0], ["inferops_gpu_xids", {**labels, "xid": "79"}, 1.0]]
    samples = health(monkeypatch, collect.Examination([], [], list(verdict.of_error(said)), said), [3, 7], known)
    assert values(samples, "gpu_usable") == {"3 GPU-a": usable} and values(samples, "gpu_missing") == {"7 a": 1}
    assert len(values(samples, "gpu_finding")) == 1 and not values(samples, "gpu_xids")


def test_nvidia_smi_that_hangs_ends_before_its_part() -> None:
    """Else the part is cut, and what it knows without nvidia-smi is lost."""
    assert main._NVIDIA_SECONDS + 2 < main.SECONDS and main._NVIDIA_SECONDS >= 10


@pytest.mark.parametrize(("there", "gone"), [(2, {}), (1, {"1 amd": 1.0})])
def test_amd_gpus_that_a_service_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: int, gone: dict[str, float]) -> None:
    """They are those of the kernel, also where nvidia-smi is missing; those of a service for NVIDIA's are nvidia-smi's."""
    for name, variable in (("amd", "HIP"), ("nvidia", "CUDA")):
        (tmp_path / f"vllm-{name}.service").write_text(f"Environment={variable}_VISIBLE_DEVICES=0,1\n", encoding="utf-8")
    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(gpus.shutil, "which", lambda _name: None)
    units = [{"unit": f"vllm-{name}.service", "service": name, "gpus": [0, 1]} for name in ("amd", "nvidia")]
    monkeypatch.setattr(_host, "read_services", lambda: units)
    monkeypatch.setattr(gpus.kfd, "read", lambda: [{"index": index} for index in range(there)])
    assert values(gpus.health(), "gpu_missing") == {**gone, "0 nvidia": 1, "1 nvidia": 1}


def test_load_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"index": 0, "uuid": "GPU-a", "memory_used_bytes": 5, "memory_bytes": 9, "temperature": None, "utilization": 50}]
    monkeypatch.setattr(status_gpus, "read_gpus", lambda: (found, ""))
    samples = gpus.load()
    assert values(samples, "gpu_utilization_ratio") == {"0 GPU-a": 0.5} and not values(samples, "gpu_temperature_celsius")
    monkeypatch.setattr(status_gpus, "read_gpus", lambda: ([], "nvidia-smi gave no answer"))
    with pytest.raises(OSError, match="gave no answer"):
        gpus.load()


def test_weights(tmp_path: Path) -> None:
    """Complete ones by their manifest; a link with a manifest beside it is not followed."""
    folder = tmp_path / "org--name"
    (folder / "abc").mkdir(parents=True)
    manifest = {"repo": "org/name", "commit": "abc", "files": [{"path": "a", "size": 5}, {"path": "b", "size": 7}, {"size": "x"}, 3]}
    (folder / "abc.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "link").symlink_to("/")
    (folder / "link.manifest.json").write_text(json.dumps({**manifest, "files": []}), encoding="utf-8")
    (folder / "new.partial").mkdir()
    (folder / "new.partial" / "part").write_bytes(b"123")
    samples = storage.weights(str(tmp_path))
    assert values(samples, "weights_bytes") == {"org/name abc": 12, "org/name link": 0, "org/name new": 3}
    assert values(samples, "weights_complete") == {"org/name abc": 1, "org/name link": 0, "org/name new": 0}


@pytest.fixture(name="settings")
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host on which every part has one sample."""
    for name in ("textfile", "run", "state"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(services, "samples", lambda *_arguments: services.of_unit(UNIT))
    monkeypatch.setattr(gpus, "load", lambda: [("inferops_gpu_memory_used_bytes", {"gpu": "0", "uuid": "GPU-a"}, 5)])
    monkeypatch.setattr(storage, "downloads", lambda _state: [("inferops_download_running", {"unit": "d"}, 1)])
    monkeypatch.setattr(gpus, "health", lambda *_known: [("inferops_gpu_usable", {"gpu": "0", "uuid": "GPU-a"}, time.monotonic_ns())])
    directories = {name: str(tmp_path / "state") for name in ("weights_dir", "releases_dir", "cache_dir", "state_dir")}
    return {**directories, "textfile_dir": str(tmp_path / "textfile"), "health_interval": 60}


def run(settings: dict[str, Any], tmp_path: Path, runtime: bool = False) -> str:
    """Run the program; return what it has written."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert main.main([f"--settings={path}", *([f"--runtime={tmp_path / 'run'}"] if runtime else [])]) == 0
    return (tmp_path / "textfile" / main.NAME).read_text(encoding="utf-8")


def test_all_parts(settings: dict[str, Any], tmp_path: Path) -> None:
    written = run(settings, tmp_path)
    assert 'inferops_service_state{service="a",unit="vllm-a.service",state="serving"} 1' in written
    assert 'inferops_filesystem_size_bytes{holds="weights"' in written and "inferops_collector_timestamp_seconds 1" in written
    assert written.count("inferops_collector_error{") == 7 and written.count("} 1\n") and 'error{part="gpus"} 0' in written
    assert (tmp_path / "textfile" / main.NAME).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "textfile").iterdir()] == [main.NAME]


def hangs(*_known: Any) -> None:
    time.sleep(60)


def ends(*_known: Any) -> None:
    os._exit(3)


def raises(*_known: Any) -> None:
    raise OSError("nvidia-smi gave no answer")


@pytest.mark.parametrize("failure", [hangs, ends, raises])
@pytest.mark.parametrize(("part", "where"), [("gpus", "load"), ("gpu_health", "health")])
def test_a_part_that_fails(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any, part: str, where: str) -> None:
    """The others have their samples, and an error is tried again at the next run."""
    working = getattr(gpus, where)
    monkeypatch.setattr(main.collect, "__defaults__", (3.0,))
    monkeypatch.setattr(gpus, where, failure)
    written = run(settings, tmp_path, runtime=True)
    assert f'inferops_collector_error{{part="{part}"}} 1' in written and written.count('inferops_collector_error{') == 7
    assert 'state="serving"} 1' in written and "inferops_download_running" in written and 'part="services"} 0' in written
    monkeypatch.setattr(gpus, where, working)
    assert f'inferops_collector_error{{part="{part}"}} 0' in run(settings, tmp_path, runtime=True)


@pytest.mark.parametrize("failure", [ends, raises])
def test_a_part_that_stops_working_keeps_its_last_samples(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any) -> None:
    """A series that vanishes ends its alerts."""
    due = {**settings, "health_interval": 0}
    before = run(due, tmp_path, runtime=True)
    monkeypatch.setattr(gpus, "health", failure)
    for _run in range(2):
        written = run(due, tmp_path, runtime=True)
        assert 'inferops_collector_error{part="gpu_health"} 1' in written
        usable = [line for line in written.splitlines() if line.startswith("inferops_gpu_usable{")]
        assert usable and usable[0] in before


def test_health_knows_what_it_has_returned(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(settings, tmp_path, runtime=True)
    monkeypatch.setattr(gpus, "health", lambda known: [[*known[0][:2], 7]])
    assert 'inferops_gpu_usable{gpu="0",uuid="GPU-a"} 7' in run({**settings, "health_interval": 0}, tmp_path, runtime=True)


def test_expensive_parts_are_read_less_often(settings: dict[str, Any], tmp_path: Path) -> None:
    def usable(written: str) -> str:
        return next(line for line in written.splitlines() if line.startswith("inferops_gpu_usable{"))

    first = usable(run(settings, tmp_path, runtime=True))
    assert usable(run(settings, tmp_path, runtime=True)) == first
    assert usable(run({**settings, "health_interval": 0}, tmp_path, runtime=True)) != first
    kept = tmp_path / "run" / "kept.json"
    # One of the future, after the clock was set back; and what is no record.
    future = json.dumps({**json.loads(kept.read_text(encoding="utf-8")), "at": time.time() + 500})
    for content in (future, "[", "{}", '{"at": 1e99, "parts": 3}', '{"parts": {"x": 3}, "failed": {}}'):
        before = usable(run(settings, tmp_path, runtime=True))
        kept.write_text(content, encoding="utf-8")
        assert usable(run(settings, tmp_path, runtime=True)) != before
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_link_in_place_of_the_file(settings: dict[str, Any], tmp_path: Path) -> None:
    """The account of node exporter may own the directory: what it links to is not written."""
    other = tmp_path / "other"
    other.write_text("mine", encoding="utf-8")
    for name in (main.NAME, main.NAME + ".new"):
        (tmp_path / "textfile" / name).symlink_to(other)
    assert "inferops_collector_error" in run(settings, tmp_path) and other.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "textfile" / main.NAME).is_symlink()


def test_settings_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([f"--settings={tmp_path}/none"]) == 1 and "playbooks/monitoring.yml" in capsys.readouterr().err


def test_a_directory_that_is_missing(settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "textfile_dir": "/nowhere"}), encoding="utf-8")
    assert main.main([f"--settings={tmp_path}/settings.json"]) == 1 and "cannot be written" in capsys.readouterr().err
    assert main.main([f"--settings={tmp_path}/settings.json", "--print"]) == 0
    assert text.render([]) == "" and "inferops_collector_timestamp_seconds" in capsys.readouterr().out
