# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Multi-node services: who is there, and how long a recovery takes."""

from __future__ import annotations

from .grafana import BAD, SERVICE, WARN, Dashboard, Panel

BOARD = Dashboard(
    uid="inferops-multi-node",
    title="Inferops / Multi-node services",
    description="Nodes, generations and recoveries of services on several hosts.",
    rows=[
        (
            "Nodes",
            [
                Panel(
                    "Connected nodes",
                    "And how many the service has.",
                    "short",
                    [
                        (f"max by (service) (inferops_service_nodes_connected{{{SERVICE}}})", "{{service}} connected"),
                        (f"max by (service) (inferops_service_nodes{{{SERVICE}}})", "{{service}} all"),
                    ],
                ),
                Panel(
                    "Missing nodes",
                    "The service waits for them.",
                    "short",
                    [(f"inferops_service_node_missing{{{SERVICE}}} == 1", "")],
                    kind="table",
                    hidden=("Value",),
                ),
                Panel(
                    "State of each node's unit",
                    "1 in the state that it is in.",
                    "short",
                    [(f"inferops_service_state{{{SERVICE}}} == 1", "")],
                    kind="table",
                    hidden=("Value",),
                ),
            ],
        ),
        (
            "Recovery",
            [
                Panel(
                    "Generation",
                    "Grows by one with each automatic restart of the unit; all nodes restart together.",
                    "short",
                    [(f"max by (service, host) (inferops_service_generation{{{SERVICE}}})", "{{service}} {{host}}")],
                ),
                Panel(
                    "Restarts in an hour",
                    "Automatic ones.",
                    "short",
                    [(f"max by (service, host) (increase(inferops_service_restarts_total{{{SERVICE}}}[1h]))", "{{service}} {{host}}")],
                    steps=[(1, WARN), (3, BAD)],
                ),
                Panel(
                    "Time to recover",
                    "Seconds in the last day in which a unit was starting, failed or degraded.",
                    "s",
                    [
                        (
                            "max by (service, host) (sum by (service, host, unit) ("
                            f'avg_over_time(inferops_service_state{{state=~"starting|failed|degraded",{SERVICE}}}[1d]))) * 86400',
                            "{{service}} {{host}}",
                        )
                    ],
                    kind="bargauge",
                ),
                Panel(
                    "Since the last failure",
                    "Seconds.",
                    "s",
                    [(f"time() - max by (service, host) (inferops_service_last_failure_timestamp_seconds{{{SERVICE}}} > 0)", "{{service}} {{host}}")],
                    kind="stat",
                ),
            ],
        ),
    ],
)
