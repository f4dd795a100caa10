# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Targets and configuration of Prometheus and its companions; with promtool and amtool where they are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.inferops.gpu.plugins.filter import monitoring as filters
from ansible_collections.inferops.gpu.plugins.plugin_utils.monitoring import configuration, shipped, targets

ROLE = Path(__file__).parents[5] / "roles" / "monitoring" / "files"
ENGINE = Path(__file__).parents[3] / "roles" / "monitoring" / "data" / "vllm_0.26.0_h100.txt"
SETTINGS = {
    "host": "mon1", "cluster": "c", "scrape_interval": 15, "listen_address": "127.0.0.1", "prometheus_port": 9090,
    "alertmanager_port": 9093, "blackbox_port": 9115, "probe": True,
}


def target(job: str, address: str, service: str = "", **more: Any) -> dict[str, Any]:
    labels = {"cluster": "c", "host": "gpu1", **({"service": service} if service else {})}
    return {"job": job, "address": address, "scheme": "http", "server_name": "", "labels": labels, **more}


def plans(*found: dict[str, Any], monitor: str = "mon1") -> dict[str, Any]:
    services = [{**one["labels"], "model": "m", "release": "r", "task": "chat", "objectives": {"ttft_seconds": 2.0}} for one in found if one["job"] == "vllm"]
    return {"gpu1": {"monitoring": {"host": monitor, "source": "", "targets": list(found), "services": services}}, "gpu2": {"monitoring": None}}


NODE = target("inferops-node", "10.0.0.1:9100")
PLAIN = target("vllm", "10.0.0.1:8001", "plain")
OTHER = target("vllm", "10.0.0.1:8002", "other")
NAMED = target("vllm", "10.0.0.1:8003", "named", scheme="https", server_name="api.example")
ADDRESSED = target("vllm", "api.example:8004", "addressed", scheme="https")
ALL = plans(NODE, PLAIN, OTHER, NAMED, ADDRESSED)


def read(found: dict[str, Any], probe: bool = True) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in filters.monitoring_targets(found, "mon1", probe).items()}


def test_files_of_targets() -> None:
    found = read(ALL)
    assert set(found) == {"vllm.json", "inferops-node.json", "inferops-probe.json", "dcgm.json", "vllm-api.example.json"} and found["dcgm.json"] == []
    assert found["inferops-node.json"] == [{"targets": ["10.0.0.1:9100"], "labels": NODE["labels"]}]
    assert [entry["targets"][0] for entry in found["vllm.json"]] == ["10.0.0.1:8001", "10.0.0.1:8002", "api.example:8004"]
    assert found["vllm.json"][2]["labels"] == {**ADDRESSED["labels"], "__scheme__": "https"}
    assert found["vllm-api.example.json"][0]["labels"] == {**NAMED["labels"], "__scheme__": "https", "job": "vllm"}
    probes = {entry["targets"][0]: entry["labels"]["__param_module"] for entry in found["inferops-probe.json"]}
    assert probes == {
        "http://10.0.0.1:8001/health": "open", "http://10.0.0.1:8002/health": "open", "https://10.0.0.1:8003/health": "open-api.example",
        "https://api.example:8004/health": "open",
    }


def test_services_that_are_not_scraped() -> None:
    """The plan leaves out the targets of those that Prometheus cannot reach."""
    part = ALL["gpu1"]["monitoring"]
    closed = {**part, "services": [*part["services"], {**part["services"][0], "service": "closed"}]}
    assert {one["service"]: one["scraped"] for one in targets.services([closed])} == {
        "plain": True, "other": True, "named": True, "addressed": True, "closed": False,
    }


def test_no_probes_and_other_monitors() -> None:
    assert read(ALL, probe=False)["inferops-probe.json"] == []
    assert all(entries == [] for entries in read(plans(NODE, PLAIN, monitor="other")).values())


def test_modules_of_the_blackbox_exporter() -> None:
    modules = yaml.safe_load(filters.monitoring_files(ALL, "mon1", SETTINGS)["blackbox.yml"])["modules"]
    assert set(modules) == {"open", "open-api.example"}
    assert modules["open-api.example"]["http"]["tls_config"] == {"server_name": "api.example"}


def test_the_blackbox_exporter_has_no_keys() -> None:
    """Any account of its host can have it send a module's credentials to any address."""
    modules = yaml.safe_load(filters.monitoring_files(ALL, "mon1", SETTINGS)["blackbox.yml"])["modules"]
    assert not {"authorization", "headers", "basic_auth"} & {key for module in modules.values() for key in module["http"]}
    assert not [one for one in read(ALL)["inferops-probe.json"] if "/v1" in one["targets"][0]]


def test_no_secret_in_files_for_all() -> None:
    assert not [path for path, text in filters.monitoring_files(ALL, "mon1", SETTINGS).items() if "hook" in text]
    assert "https://hook/x" in filters.monitoring_alertmanager(["https://hook/x"])
    assert yaml.safe_load(filters.monitoring_alertmanager([]))["receivers"] == [{"name": "inferops"}]


def test_the_token_of_webhooks_is_in_a_file() -> None:
    """The API of Alertmanager shows its configuration, and it would send the token after a redirect."""
    (receiver,) = yaml.safe_load(filters.monitoring_alertmanager(["https://a/x", "https://b/y"], "/etc/x/token"))["receivers"]
    wanted = {"authorization": {"credentials_file": "/etc/x/token"}, "follow_redirects": False}
    assert [one["http_config"] for one in receiver["webhook_configs"]] == [wanted, wanted]
    assert "http_config" not in filters.monitoring_alertmanager(["https://a/x"])


@pytest.mark.parametrize(
    ("listens", "own"), [("0.0.0.0", "127.0.0.1:9093"), ("::", "[::1]:9093"), ("10.0.0.9", "10.0.0.9:9093"), ("fd00::9", "[fd00::9]:9093")],
)
def test_the_address_of_alertmanager(listens: str, own: str) -> None:
    found = configuration.prometheus([], {**SETTINGS, "listen_address": listens})
    assert found["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == [own]


def test_files_for_an_existing_prometheus() -> None:
    """No part of them is the whole configuration of a program."""
    found = filters.monitoring_files(ALL, "mon1", SETTINGS, True)
    assert not {"prometheus.yml", "blackbox.yml"} & set(found) and "scrape_configs.yml" in found
    jobs = [job["job_name"] for job in yaml.safe_load(found["scrape_configs.yml"])["scrape_configs"]]
    assert jobs == ["vllm", "inferops-node", "dcgm", "vllm-api.example", "inferops-probe"]


def test_what_an_engine_can_make_prometheus_store() -> None:
    """An account of a service can neither fill Prometheus nor make series of other jobs; what an engine really has passes."""
    jobs = {job["job_name"]: job for job in yaml.safe_load(filters.monitoring_files(ALL, "mon1", SETTINGS, True)["scrape_configs.yml"])["scrape_configs"]}
    for job in jobs.values():
        assert job["sample_limit"] and job["label_limit"] and job["body_size_limit"] and not job["honor_timestamps"] and not job["follow_redirects"]
    lines = [line for line in ENGINE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    names = {re.split(r"[{ ]", line)[0] for line in lines}
    for name in ("vllm", "vllm-api.example"):
        (dropped,) = jobs[name]["metric_relabel_configs"]
        assert dropped["action"] == "drop" and not [one for one in names if re.fullmatch(dropped["regex"], one)]
        for forged in ("inferops_gpu_usable", "inferops:service_stopped", "node_load1", "probe_success", "ALERTS", "up"):
            assert re.fullmatch(dropped["regex"], forged), forged
        assert len(lines) * 16 < jobs[name]["sample_limit"] and max(map(len, lines)) < jobs[name]["label_value_length_limit"]


@pytest.mark.skipif(shutil.which("promtool") is None or shutil.which("amtool") is None, reason="promtool and amtool are not installed")
@pytest.mark.parametrize("found", [ALL, plans()], ids=["all kinds of targets", "no target"])
def test_prometheus_accepts_it(tmp_path: Path, found: dict[str, Any]) -> None:
    """With the rules of the role and of objectives, from any directory."""
    files = {**filters.monitoring_files(found, "mon1", SETTINGS), **shipped.read(ROLE, found, "mon1")}
    files["alertmanager.yml"] = filters.monitoring_alertmanager(["http://x/y"], "/none/token")
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    for command in (["promtool", "check", "config", "prometheus.yml"], ["amtool", "check-config", "alertmanager.yml"]):
        done = subprocess.run([*command[:-1], str(tmp_path / command[-1])], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_of_objectives() -> None:
    groups = yaml.safe_load(shipped.read(ROLE, ALL, "mon1")[shipped.OBJECTIVES])["groups"]
    assert groups and yaml.safe_load(shipped.read(ROLE, {}, "mon1")[shipped.OBJECTIVES])["groups"] == []


def test_names_of_files_are_safe_and_unique() -> None:
    names = ["fd00::1", "fd00__1", "a/../b", "a_.._b", "api.example"]
    files = [targets.file_of("vllm", name) for name in names]
    assert len(set(files)) == len(names) and not [name for name in files if "/" in name or ":" in name]
    assert len({targets.module_of(target("vllm", "x:1", "s", server_name=name)) for name in names}) == len(names)
