# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alert rules of the services' objectives: how fast each uses up its error budget, over two windows at a time.

The method, its windows and factors are those of Google's SRE workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".

An objective "99 % of the first tokens within 2 s" leaves a budget of 1 %. It burns 14.4 times too fast if more than 14.4 % of the requests take longer,
which is the same as: their 85.6 % quantile is above 2 s. So the rules compare a quantile. C(histogram_quantile) interpolates within buckets, so the
objective needs no bucket of its own, and the rules work with any buckets (those of vLLM can be configured). Without traffic the quantile is NaN, and NaN
is greater than nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping, Sequence

RUNBOOKS = "https://github.com/inferops/gpu/blob/main/docs/runbooks"
# How often they are evaluated. Their windows are minutes and hours, and a fleet has thousands of them.
INTERVAL = "1m"
# Requests in the longer window under which nothing alerts: with fewer, a single slow one is a large share.
MIN_REQUESTS = 20
# Labels that a target of an engine has, and that its alerts keep.
LABELS = ("cluster", "host", "service", "model", "release", "task")
# An objective under 1 - 1/14.4 cannot burn that fast; then nearly all requests have to miss it.
_MOST_MISSED = 0.95


@dataclasses.dataclass(frozen=True)
class Window:
    """A pair of windows, and how many times too fast the budget burns in both."""

    long: str
    short: str
    factor: float
    severity: str
    after: str
    left: str


WINDOWS = (
    Window("1h", "5m", 14.4, "critical", "2m", "two days"),
    Window("6h", "30m", 6.0, "warning", "15m", "five days"),
)


@dataclasses.dataclass(frozen=True)
class Latency:
    """An objective about a duration: keys of the inventory, and vLLM's histogram (the same in 0.8.5 to 0.33)."""

    name: str
    alert: str
    histogram: str
    what: str

    @property
    def seconds(self) -> str:
        return f"{self.name}_seconds"

    @property
    def ratio(self) -> str:
        return f"{self.name}_ratio"


LATENCIES = (
    Latency("ttft", "InferopsFirstTokenObjective", "vllm:time_to_first_token_seconds", "get their first token within"),
    Latency("queue", "InferopsQueueObjective", "vllm:request_queue_time_seconds", "wait no longer in the queue than"),
)
# Without a ratio in the inventory.
DEFAULT_RATIO = 0.99


def rules(services: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The file of rules of all services, as data; C(groups) is empty if no service has objectives.

    :param services: dictionaries with C(cluster), C(service), C(host) and C(objectives), as the plan has them: positive seconds, ratios between 0 and 1
    """
    groups = []
    for service in sorted(services, key=lambda item: (str(item["cluster"]), str(item["service"]), str(item["host"]))):
        found = _rules_of(service)
        if found:
            # A space, which neither a cluster's name nor a service's can have: Prometheus refuses a file with two groups of one name.
            name = f"inferops-objectives {service['cluster']} {service['service']} {service['host']}"
            groups.append({"name": name, "interval": INTERVAL, "rules": found})
    return {"groups": groups}


def _rules_of(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    objectives = service.get("objectives") or {}
    recorded: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    for latency in LATENCIES:
        seconds = objectives.get(latency.seconds)
        if seconds is not None:
            ratio = float(objectives.get(latency.ratio, DEFAULT_RATIO))
            recorded.append(_recorded(service, latency.name, float(seconds)))
            alerts += [_latency_alert(service, latency, window, float(seconds), ratio) for window in WINDOWS]
    if objectives.get("error_ratio") is not None:
        recorded.append(_recorded(service, "error", float(objectives["error_ratio"])))
        alerts += [_error_alert(service, window, float(objectives["error_ratio"])) for window in WINDOWS]
    return recorded + alerts


def _recorded(service: Mapping[str, Any], objective: str, value: float) -> dict[str, Any]:
    """The objective as a series, which the dashboards draw as a line."""
    labels = {"cluster": str(service["cluster"]), "host": str(service["host"]), "service": str(service["service"]), "objective": objective}
    return {"record": "inferops:objective", "expr": f"vector({value:g})", "labels": labels}


def _quoted(text: str) -> str:
    """A text of PromQL: names are the inventory's, and nothing keeps a cluster's name from having quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _literal(text: str) -> str:
    """A text in an annotation, which is a template: braces of a name must not start an action."""
    return text.replace("{", "{ ")


def _selector(service: Mapping[str, Any]) -> str:
    return "".join(f", {key}={_quoted(str(service[key]))}" for key in ("cluster", "service", "host"))


def _latency_alert(service: Mapping[str, Any], latency: Latency, window: Window, seconds: float, ratio: float) -> dict[str, Any]:
    quantile = 1 - min(_MOST_MISSED, window.factor * (1 - ratio))
    select = f'{{job="vllm"{_selector(service)}}}'
    by = ", ".join(LABELS)

    def missed(span: str) -> str:
        buckets = f"sum by ({by}, le) (\n  rate({latency.histogram}_bucket{select}[{span}])\n)"
        return f"histogram_quantile({quantile:.6g}, {buckets}) > {seconds:g}"

    expression = (
        f"{missed(window.short)}\nand\n{missed(window.long)}\nand\n"
        f"sum by ({by}) (\n  increase({latency.histogram}_count{select}[{window.long}])\n) >= {MIN_REQUESTS}"
    )
    name, host = _literal(str(service["service"])), _literal(str(service["host"]))
    return _alert(latency.alert, expression, window, (
        f"Service {name} on {host} misses its objective that {ratio * 100:g} % of the requests {latency.what} {seconds:g} s:"
        f" more than {(1 - quantile) * 100:.3g} % take longer."
    ))


def _error_alert(service: Mapping[str, Any], window: Window, ratio: float) -> dict[str, Any]:
    limit = min(_MOST_MISSED, window.factor * ratio)
    by = ", ".join(LABELS)
    select = f'{{job="vllm", handler!="none"{_selector(service)}}}'
    errors = f'{{job="vllm", handler!="none", status=~"5.."{_selector(service)}}}'

    def missed(span: str) -> str:
        counted = f"sum by ({by}) (\n  rate(http_requests_total{errors}[{span}])\n)"
        return f"{counted} > {limit:.6g} * sum by ({by}) (\n  rate(http_requests_total{select}[{span}])\n)"

    expression = (
        f"{missed(window.short)}\nand\n{missed(window.long)}\nand\n"
        f"sum by ({by}) (\n  increase(http_requests_total{select}[{window.long}])\n) >= {MIN_REQUESTS}"
    )
    name, host = _literal(str(service["service"])), _literal(str(service["host"]))
    return _alert("InferopsErrorObjective", expression, window, (
        f"Service {name} on {host} misses its objective of at most {ratio * 100:g} % of the requests with an error of the server:"
        f" more than {limit * 100:.3g} % have one."
    ))


def _alert(name: str, expression: str, window: Window, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": window.after,
        "labels": {"severity": window.severity},
        "annotations": {
            "summary": summary,
            "description": (
                f"In the last {window.long} and {window.short} the error budget burns {window.factor:g} times too fast. A month's budget lasts"
                f" {window.left} then."
            ),
            "runbook": f"docs/runbooks/{name}.md",
            "runbook_url": f"{RUNBOOKS}/{name}.md",
        },
    }
