# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One service, as its clients see it."""

from __future__ import annotations

from .grafana import BAD, SERVICE, WARN, Dashboard, Panel

BUCKETS = "sum by (service, le) (rate({name}_bucket{{{select}}}[$__rate_interval]))"


def quantiles(name: str) -> list[tuple[str, str]]:
    """Median, 90 % and 99 % of a histogram."""
    buckets = BUCKETS.format(name=name, select=SERVICE)
    return [(f"histogram_quantile({quantile}, {buckets})", f"{{{{service}}}} p{label}") for quantile, label in (("0.5", "50"), ("0.9", "90"), ("0.99", "99"))]


def objective(name: str) -> tuple[str, str]:
    """The line of the service's objective; without one there is none."""
    return f'max by (service) (inferops:objective{{objective="{name}",{SERVICE}}})', "{{service}} objective"


HTTP = f'http_requests_total{{job="vllm",handler!="none",{SERVICE}}}'
BOARD = Dashboard(
    uid="inferops-service",
    title="Inferops / Service",
    description="Traffic, errors and waiting times of a service, with its objectives.",
    rows=[
        (
            "State",
            [
                Panel(
                    "State",
                    "Of each unit of the service.",
                    "short",
                    [(f"max by (host, state) (inferops_service_state{{{SERVICE}}} == 1)", "{{host}}: {{state}}")],
                    kind="stat",
                    width=8,
                    height=5,
                ),
                Panel(
                    "Runs since",
                    "When the unit entered its state.",
                    "dateTimeFromNow",
                    [(f"max by (host) (inferops_service_since_timestamp_seconds{{{SERVICE}}}) * 1000", "{{host}}")],
                    kind="stat",
                    width=8,
                    height=5,
                ),
                Panel(
                    "Restarts",
                    "Automatic ones since the unit was last started by hand or by a run.",
                    "short",
                    [(f"max by (host) (inferops_service_restarts_total{{{SERVICE}}})", "{{host}}")],
                    kind="stat",
                    width=8,
                    height=5,
                    steps=[(1, WARN), (3, BAD)],
                ),
            ],
        ),
        (
            "Traffic",
            [
                Panel(
                    "Requests by code",
                    "Answers of the API. Grouped as 2xx, 4xx and 5xx by vLLM.",
                    "reqps",
                    [(f"sum by (service, status) (rate({HTTP}[$__rate_interval]))", "{{service}} {{status}}")],
                    stacked=True,
                ),
                Panel(
                    "Share of errors of the server",
                    "5xx of all answers; the line is the objective error_ratio.",
                    "percentunit",
                    [
                        (
                            f'(sum by (service) (rate({HTTP[:-1]},status=~"5.."}}[$__rate_interval])) or 0 * sum by (service) (rate({HTTP}[$__rate_interval])))'
                            f" / (sum by (service) (rate({HTTP}[$__rate_interval])) > 0)",
                            "{{service}}",
                        ),
                        objective("error"),
                    ],
                ),
                Panel(
                    "Answers by path",
                    "Requests per second by path of the API.",
                    "reqps",
                    [(f"sum by (handler) (rate({HTTP}[$__rate_interval]))", "{{handler}}")],
                    stacked=True,
                ),
            ],
        ),
        (
            "Waiting times",
            [
                Panel(
                    "Time to first token",
                    "From arrival to the first token, queue included; the line is the objective ttft_seconds.",
                    "s",
                    [*quantiles("vllm:time_to_first_token_seconds"), objective("ttft")],
                ),
                Panel(
                    "Time in the queue",
                    "Until the engine begins with the request; the line is the objective queue_seconds.",
                    "s",
                    [*quantiles("vllm:request_queue_time_seconds"), objective("queue")],
                ),
                Panel("Time of whole requests", "From arrival to the last token.", "s", quantiles("vllm:e2e_request_latency_seconds")),
                Panel(
                    "Time between tokens",
                    "Of one request, while it generates. Unified over versions: time_per_output_token until 0.10.1.",
                    "s",
                    quantiles("inferops:inter_token_latency_seconds"),
                ),
                Panel(
                    "Running and waiting",
                    "Requests that the engine computes, and that wait.",
                    "short",
                    [
                        (f"sum by (service) (vllm:num_requests_running{{{SERVICE}}})", "{{service}} running"),
                        (f"sum by (service) (vllm:num_requests_waiting{{{SERVICE}}})", "{{service}} waiting"),
                    ],
                ),
                Panel(
                    "Probe from the monitoring host",
                    "Duration of a request for the list of models.",
                    "s",
                    [(f'max by (service, host) (probe_duration_seconds{{job="inferops-probe",{SERVICE}}})', "{{service}} {{host}}")],
                    steps=[(5, WARN)],
                ),
            ],
        ),
    ],
)
