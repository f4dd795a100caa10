# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All clusters, hosts and services at a glance."""

from __future__ import annotations

from .grafana import BAD, HOST, SERVICE, WARN, Dashboard, Panel

ALERTS = 'ALERTS{alertname=~"Inferops.*",alertstate="firing"'
BOARD = Dashboard(
    uid="inferops-fleet",
    title="Inferops / Fleet",
    description="Which services serve, what alerts, and how much all of them do.",
    rows=[
        (
            "Now",
            [
                Panel(
                    "Services that serve",
                    "Units in the state serving, of all that are not stopped.",
                    "short",
                    [(f'sum(inferops_service_state{{state="serving",{SERVICE}}})', "serving")],
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Services with a problem",
                    "Units that have failed or are degraded.",
                    "short",
                    [(f'sum(inferops_service_state{{state=~"failed|degraded",{SERVICE}}})', "failed or degraded")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=[(1, BAD)],
                ),
                Panel(
                    "Starting, stopped",
                    "Units that start, and that an operator has stopped.",
                    "short",
                    [(f'sum by (state) (inferops_service_state{{state=~"starting|stopped",{SERVICE}}})', "{{state}}")],
                    kind="stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Critical alerts",
                    "Alerts for which somebody has to act now.",
                    "short",
                    [(f'count({ALERTS},severity="critical"}}) or vector(0)', "critical")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=[(1, BAD)],
                ),
                Panel(
                    "Warnings",
                    "Alerts to look at on a working day.",
                    "short",
                    [(f'count({ALERTS},severity="warning"}}) or vector(0)', "warnings")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=[(1, WARN)],
                ),
                Panel(
                    "Hosts that do not answer",
                    "Hosts whose node exporter cannot be scraped.",
                    "short",
                    [(f'count(up{{job="inferops-node",{HOST}}} == 0) or vector(0)', "hosts")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=[(1, BAD)],
                ),
            ],
        ),
        (
            "Services",
            [
                Panel(
                    "State of each unit",
                    "1 in the state that the unit is in (docs/status.md).",
                    "short",
                    [(f"inferops_service_state{{{SERVICE}}} == 1", "")],
                    kind="table",
                    width=12,
                    hidden=("Value",),
                ),
                Panel(
                    "Alerts",
                    "What fires now; the runbook of each is docs/runbooks/<alert>.md.",
                    "short",
                    [(f"{ALERTS}}} or on () vector(0)", "")],
                    kind="table",
                    width=12,
                    hidden=("alertstate", "Value"),
                ),
                Panel(
                    "Requests per second",
                    "Requests that the engines have finished, by service.",
                    "reqps",
                    [(f"sum by (service) (rate(vllm:request_success_total{{{SERVICE}}}[$__rate_interval]))", "{{service}}")],
                ),
                Panel(
                    "Generated tokens per second",
                    "By service.",
                    "short",
                    [(f"sum by (service) (rate(vllm:generation_tokens_total{{{SERVICE}}}[$__rate_interval]))", "{{service}}")],
                ),
                Panel(
                    "Waiting requests",
                    "Requests in the queues of the engines.",
                    "short",
                    [(f"sum by (service) (vllm:num_requests_waiting{{{SERVICE}}})", "{{service}}")],
                ),
            ],
        ),
        (
            "GPUs and hosts",
            [
                Panel(
                    "GPU load",
                    "Mean of the GPUs of each host.",
                    "percentunit",
                    [(f"avg by (host) (inferops_gpu_utilization_ratio{{{HOST}}})", "{{host}}")],
                    most=1,
                ),
                Panel(
                    "GPUs that must not be used",
                    "According to the driver (docs/gpu-health.md).",
                    "short",
                    [(f"sum by (host) (inferops_gpu_usable{{{HOST}}} == bool 0)", "{{host}}")],
                    steps=[(1, BAD)],
                ),
                Panel(
                    "Fullest file system",
                    "Of those that hold weights, releases, caches or state.",
                    "percentunit",
                    [(f"max by (host) (1 - inferops_filesystem_available_bytes{{{HOST}}} / inferops_filesystem_size_bytes{{{HOST}}})", "{{host}}")],
                    most=1,
                    steps=[(0.9, WARN), (0.97, BAD)],
                ),
            ],
        ),
    ],
)
