#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes docs/alerts.md from the alert rules and their runbooks.

    python tests/tools/alert_docs.py            writes the page
    python tests/tools/alert_docs.py --check    fails if it is not current
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles/monitoring/files/rules"
# The rules of one service with all objectives, as plugins/plugin_utils/monitoring/objectives.py makes them.
OBJECTIVES = ROOT / "tests/lab/monitoring/rule_tests/objectives/rules.yml"
PAGE = ROOT / "docs/alerts.md"
SUBJECTS = {
    "inferops-services": "Services", "inferops-requests": "Requests", "inferops-objectives": "Objectives", "inferops-gpus": "GPUs",
    "inferops-hosts": "Hosts", "inferops-monitoring": "Monitoring itself",
}
HEAD = """# Alerts

The role `monitoring` installs these rules. `critical` means that somebody has to act now, `warning` that somebody should look at it on a working day.
Each alert has the annotations `summary` (what is wrong, in one sentence), `description` (what to look at), `runbook_url`, and `runbook`: the same page's
path in the checkout and in the installed collection, for those without access to the internet.

- A service that an operator stops (`playbooks/stop.yml`, `maintenance.yml`, `systemctl stop`) makes no alert, nor does a reboot of half an hour at most
  of a host all of whose services were stopped. For longer work, add a silence in Alertmanager.
- A service that starts is silent for 45 minutes, unless its starts fail.
- Alerts about shares of requests need a minimum of requests, and counters that begin again at 0 count for nothing.
- vLLM has renamed some of its metrics. The recording rules `inferops:…` give one name over all supported versions; rules and dashboards use only those, or
  names that all versions have ([dashboards](dashboards.md#they-cannot-rot)).

## When monitoring itself is down

Nothing here alerts when `monitoring_host`, Prometheus or Alertmanager is down, or when the webhook is unreachable: an alert cannot report that it is not sent.
Let something outside watch them. Where you have a service that alerts when a ping stays away, a timer or cron job on `monitoring_host` sends it, every minute:

    curl -fsS http://127.0.0.1:9090/-/ready && curl -fsS http://127.0.0.1:9093/-/ready && curl -fsS <address of the ping>

[InferopsAlertsNotSent](runbooks/InferopsAlertsNotSent.md) and [InferopsRulesFail](runbooks/InferopsRulesFail.md) report single failures while both run.

## Objectives of a service

    model_services:
      - name: qwen3-235b
        objectives:
          ttft_seconds: 2       # the first token within 2 s …
          ttft_ratio: 0.99      # … of 99 % of the requests (0.99 is the default)
          queue_seconds: 1      # no longer in the queue than 1 s …
          queue_ratio: 0.99     # … of 99 %
          error_ratio: 0.001    # 5xx for at most 0.1 % of the requests

Each objective makes a critical and a warning rule, with two windows each as in Google's
[SRE workbook](https://sre.google/workbook/alerting-on-slos/#6-multiwindow-multi-burn-rate-alerts). Critical: in the last hour and the last 5 minutes the
error budget burns 14.4 times too fast, so that a month's budget lasts two days. Warning: 6 times in the last 6 hours and 30 minutes, five days. Fewer
than 20 requests in the longer window never alert. The time is compared by a quantile, so an objective needs no bucket of vLLM's histograms of its own. An
objective below 93 % (critical) or 84 % (warning) cannot burn that fast; its rule fires when 95 % of the requests miss it.
"""
TAIL = """
## Tests

`promtool test rules tests/lab/monitoring/rule_tests/*.yml` (in the lab: `test_1_rules.py`) runs the tests of each alert: it fires, it does not fire, and
what is not obvious (maintenance, restart of the engine, no traffic). `tests/unit/roles/monitoring/test_alerts.py` fails if an alert has no such test or no runbook.
"""


def alerts() -> list[dict[str, Any]]:
    """All alerts, each with the name of its file in C(file)."""
    found = []
    for path in [*sorted(RULES.glob("*.yml")), OBJECTIVES]:
        name = "inferops-objectives" if path == OBJECTIVES else path.stem
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            found += [{**rule, "file": name} for rule in group["rules"] if "alert" in rule]
    return found


def _meaning(name: str) -> str:
    """The first sentence of the runbook's Meaning, without links."""
    text = (ROOT / f"docs/runbooks/{name}.md").read_text(encoding="utf-8").partition("## Meaning\n\n")[2].partition("\n\n")[0]
    first = re.match(r"(.*?[^.\d]\.)(?:\s|$)", " ".join(text.split()))
    sentence = first[1] if first else " ".join(text.split())
    return re.sub(r" ?\(\[[^]]+\]\([^)]+\)\)|\[([^]]+)\]\([^)]+\)", lambda match: match[1] or "", sentence)


def page() -> str:
    """The page as it has to be."""
    text = HEAD
    for file, subject in SUBJECTS.items():
        rows: dict[str, list[dict[str, Any]]] = {}
        for alert in alerts():
            if alert["file"] == file:
                rows.setdefault(alert["alert"], []).append(alert)
        text += f"\n## {subject}\n\n| alert | severity | for | meaning |\n|---|---|---|---|\n"
        for name, found in rows.items():
            severities, times = (", ".join(item) for item in zip(*((alert["labels"]["severity"], alert["for"]) for alert in found)))
            text += f"| [{name}](runbooks/{name}.md) | {severities} | {times} | {_meaning(name)} |\n"
    return text + TAIL


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    if "--check" in arguments:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
            print(f"{PAGE.relative_to(ROOT)} is not current: run python tests/tools/alert_docs.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
