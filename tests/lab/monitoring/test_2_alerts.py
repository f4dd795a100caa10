# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An error on a host arrives as an alert at the webhook; and a service does not notice that Prometheus has died."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import Unit, wait_until
from openai import OpenAI
from testinfra.host import Host

STATES = "/run/lab/gpu_states.json"
# Seconds: an examination of the health, a scrape, the rule's own time, its evaluation, and Alertmanager's group.
WITHIN = 10 + 10 + 5 + 120 + 10 + 20


@pytest.fixture
def bad_gpu(host: Host) -> Iterator[None]:
    """A GPU with uncorrectable errors, which no service uses."""
    states = {"3": {"recovery": "Reset", "ecc": 2, "pending": True}}
    host.run_expect([0], "mkdir -p /run/lab && printf %%s %s > %s && chmod 644 %s", json.dumps(states), STATES, STATES)
    yield
    host.run("rm -f %s", STATES)


def test_a_gpu_that_has_to_be_reset(bad_gpu: None, received: Callable[[], list[dict[str, Any]]], query: Callable[[str], dict[str, float]]) -> None:
    began = time.monotonic()
    wait_until(lambda: query('inferops_gpu_usable{gpu="3"} == 0'), 60, "the collector's finding")

    def arrived() -> list[dict[str, Any]]:
        return [alert for alert in received() if alert["status"] == "firing" and alert["labels"].get("gpu") == "3"]

    alerts = wait_until(arrived, WITHIN, "the alert at the webhook")
    print(f"alert after {time.monotonic() - began:.0f} s: {[alert['labels']['alertname'] for alert in alerts]}")
    one = alerts[0]
    assert (one["labels"]["host"], one["labels"]["cluster"]) == ("lab-gpu1", "lab") and one["labels"]["severity"] in ("critical", "warning")
    assert "lab-gpu1" in one["annotations"]["summary"] and "docs/runbooks/" in one["annotations"]["runbook_url"]


def test_prometheus_dies(monitor: Host, client: OpenAI, service: dict[str, Any], unit: Unit, query: Callable[[str], dict[str, float]]) -> None:
    """The service goes on, and Prometheus comes back."""
    pid = unit.main_pid
    monitor.run_expect([0], "systemctl kill --signal=KILL prometheus.service")
    assert client.completions.create(model=service["name"], prompt="x", max_tokens=2).choices
    assert unit.main_pid == pid and unit.show("NRestarts") == "0"

    def back() -> bool:
        try:
            return bool(query("up"))
        except OSError:
            return False

    wait_until(back, 60, "Prometheus runs again")
