# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Prometheus scrapes with its labels, who else reaches it, who may read the secrets, and what it costs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from lab import Play, Unit, wait_until
from testinfra.host import Host

LOOPBACK = ("127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:9115")


def labels(found: dict[str, float]) -> list[dict[str, str]]:
    return [json.loads(text) for text in found]


def test_every_target_is_up(query: Callable[[str], dict[str, float]], addresses: dict[str, str]) -> None:
    def all_up() -> bool:
        up = query("up")
        return {one["job"] for one in labels(up)} == {"vllm", "inferops-node", "inferops-probe", "prometheus", "alertmanager"} and set(up.values()) == {1.0}

    wait_until(all_up, 60, "all targets are up")
    (engine,) = labels(query('up{job="vllm"}'))
    gpu = addresses["lab-gpu1"]
    assert engine.pop("release").startswith("vllm-0.32.0-")
    assert engine == {
        "__name__": "up", "job": "vllm", "instance": f"{gpu}:8001", "cluster": "lab", "host": "lab-gpu1", "service": "small", "model": "small", "task": "chat",
    }
    (node,) = labels(query('up{job="inferops-node"}'))
    assert node == {"__name__": "up", "job": "inferops-node", "instance": f"{gpu}:9100", "cluster": "lab", "host": "lab-gpu1"}


def test_the_service_is_probed(query: Callable[[str], dict[str, float]], addresses: dict[str, str]) -> None:
    """Without its key."""
    wait_until(lambda: set(query("probe_success").values()) == {1.0}, 60, "the probe succeeds")
    (probe,) = labels(query("probe_success"))
    assert (probe["instance"], probe["service"], probe["host"]) == (f"http://{addresses['lab-gpu1']}:8001/health", "small", "lab-gpu1")
    assert set(query("probe_http_status_code").values()) == {200.0}


def test_metrics_of_the_collector(query: Callable[[str], dict[str, float]]) -> None:
    wait_until(lambda: query("inferops_collector_timestamp_seconds"), 60, "the collector's metrics")
    assert set(query("inferops_collector_error").values()) == {0.0}
    (serving,) = labels(query("inferops_service_state == 1"))
    assert (serving["service"], serving["unit"], serving["state"], serving["host"]) == ("small", "vllm-small.service", "serving", "lab-gpu1")
    assert set(query("inferops_service_last_known_good").values()) == {1.0} and set(query("inferops_service_changed_outside").values()) == {0.0}
    assert len(query("inferops_gpu_usable == 1")) == 4 and not query("inferops_gpu_missing")
    assert len(query('inferops_release_info{in_use="true"}')) == 1 and set(query("inferops_weights_complete").values()) == {1.0}
    wait_until(lambda: query("time() - inferops_service_probe_timestamp_seconds < 60"), 60, "a probe that was answered")
    assert set(query("time() - inferops_collector_timestamp_seconds < 60").values())


def test_only_the_monitor_reaches_metrics(host: Host, monitor: Host, addresses: dict[str, str]) -> None:
    gpu = addresses["lab-gpu1"]
    assert monitor.run("curl --silent --fail --max-time 5 http://%s:9100/metrics", gpu).rc == 0
    with pytest.raises(OSError):
        socket.create_connection((gpu, 9100), timeout=3)
    rules = host.check_output("ufw status")
    assert any("9100" in line and addresses["lab-mon"] in line for line in rules.splitlines())


def test_the_interfaces_are_for_the_host_alone(monitor: Host) -> None:
    """No port of Prometheus, Alertmanager (also that of its cluster) and the blackbox exporter is open to others."""
    listening = [line.split()[3] for line in monitor.check_output("ss --no-header --listening --tcp --numeric").splitlines()]
    assert set(LOOPBACK) <= set(listening)
    assert not [one for one in listening if one.rpartition(":")[2] in ("9090", "9093", "9094", "9115") and not one.startswith("127.0.0.1:")]


def test_secrets_are_prometheus_alone(monitor: Host, host: Host, service: dict[str, Any]) -> None:
    for name in ("alertmanager.yml", "webhook-token"):
        file = monitor.file(f"/etc/prometheus/inferops/{name}")
        assert (file.user, file.mode) == ("prometheus", 0o600), name
    for path in ("v2/status", "v2/receivers"):
        assert "token-7c20b9" not in monitor.check_output("curl --silent --fail http://127.0.0.1:9093/api/%s", path)
    assert monitor.run("grep -rlF %s /etc/prometheus", service["api_key"]).stdout == ""
    for secret in ("hook-4f1d2c", "token-7c20b9", service["api_key"]):
        readable = monitor.run("find / -xdev -path /proc -prune -o -type f -perm /044 -size -1M -print0 | xargs -0 grep -lF %s 2>/dev/null", secret).stdout
        assert not [path for path in readable.splitlines() if "/received" not in path], readable
    assert service["api_key"] not in host.file("/etc/inferops/metrics.json").content_string


def test_a_diff_shows_no_secret(play: Callable[..., Play]) -> None:
    """And in check mode nothing changes."""
    found = play("--check", "--diff", variables={"monitoring_webhook_token": "other-secret-77", "monitoring_retention_time": "2d"})
    assert found.status == 0, found.output
    assert "other-secret-77" not in found.output and "token-7c20b9" not in found.output
    assert "retention.time=2d" in found.output and found.recap["lab-mon"]["changed"] >= 2
    again = play("--check")
    assert again.status == 0 and not any(counts["changed"] for counts in again.recap.values()), again.output


def test_the_collector_is_confined(host: Host) -> None:
    unit = Unit(host, "inferops-metrics.service")
    assert (unit.show("NoNewPrivileges"), unit.show("ProtectSystem"), unit.show("Result")) == ("yes", "strict", "success")
    assert set(unit.show("CapabilityBoundingSet").split()) == {"cap_dac_read_search", "cap_syslog"}
    written = host.file("/var/lib/prometheus/node-exporter/inferops.prom")
    assert (written.user, written.mode) == ("root", 0o644)


MEASURED = """
import os, resource, shlex, subprocess, sys
command = shlex.split(sys.argv[1])
runs = 5
for _run in range(runs):
    subprocess.run(command, check=True, env={**os.environ, "RUNTIME_DIRECTORY": "/run/inferops-metrics"})
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print((used.ru_utime + used.ru_stime) / runs, used.ru_maxrss / 1024)
"""


def test_cost(host: Host, query: Callable[[str], dict[str, float]]) -> None:
    """Processor time and memory of node exporter and the collector, at the default intervals."""
    command = next(line for line in host.file("/etc/systemd/system/inferops-metrics.service").content_string.splitlines() if line.startswith("ExecStart="))
    ran = host.check_output("/usr/bin/python3 -c %s %s", MEASURED, command.partition("=")[2].replace("%t", "/run"))
    seconds, memory = map(float, ran.split())
    time.sleep(30)
    # The lab scrapes three times as often as by default.
    exporter = max(query('rate(process_cpu_seconds_total{job="inferops-node"}[1m])').values()) / 3
    resident = max(query('process_resident_memory_bytes{job="inferops-node"}').values()) / 2**20
    print(f"collector {seconds:.3f} s a run, {memory:.0f} MiB; node exporter {exporter:.4f} of a core, {resident:.0f} MiB; both {seconds / 30 + exporter:.4f}")
    # On machines that compute for other tests too: twice what a quiet one takes.
    assert seconds / 30 + exporter < 0.02 and resident + memory < 100
