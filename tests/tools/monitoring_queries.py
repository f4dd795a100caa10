# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every query of the rules and the dashboards, and the selectors of metrics in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles/monitoring/files/rules"
DASHBOARDS = ROOT / "roles/monitoring/files/dashboards"
OBJECTIVES = ROOT / "tests/lab/monitoring/rule_tests/objectives/rules.yml"
# What Grafana puts in for its variables, with all chosen.
VARIABLES = {"$__rate_interval": "5m", "$cluster": ".*", "$service": ".*", "$host": ".*"}
WORDS = {
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset", "inf", "nan", "sum", "min", "max", "avg", "group",
    "count", "rate", "increase", "delta", "deriv", "time", "vector", "absent", "abs", "histogram_quantile", "predict_linear", "avg_over_time",
    "min_over_time", "max_over_time", "last_over_time", "label_replace",
}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME = re.compile(r"[A-Za-z_][\w:]*")
# Labels of an aggregation or a match: by (a, b).
_LABELS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")


class Query(NamedTuple):
    """A query and where it stands: C(rule NAME) or C(DASHBOARD / PANEL / LETTER)."""

    where: str
    expression: str


def queries() -> list[Query]:
    """All queries, variables replaced."""
    return [*rule_queries(), *dashboard_queries()]


def rule_queries() -> Iterator[Query]:
    """Of the rules that every installation has."""
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                severity = f" {rule['labels']['severity']}" if "alert" in rule else ""
                yield Query(f"rule {rule.get('alert') or rule['record']}{severity}", rule["expr"])


def objective_queries() -> Iterator[Query]:
    """Of the rules that objectives of a service make."""
    for group in yaml.safe_load(OBJECTIVES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield Query(f"objective {rule.get('alert') or rule['record']}", rule["expr"])


def panels() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each panel with its dashboard."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            if panel["type"] != "row":
                yield board, panel


def dashboard_queries() -> Iterator[Query]:
    """Of the dashboards' panels, their variables and their annotations."""
    for board, panel in panels():
        for target in panel["targets"]:
            yield Query(f"{board['title']} / {panel['title']} / {target['refId']}", replaced(target["expr"]))
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                metric = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
                assert metric, variable
                yield Query(f"{board['title']} / variable {variable['name']}", replaced(metric[1]))
        for annotation in board["annotations"]["list"]:
            yield Query(f"{board['title']} / annotation {annotation['name']}", replaced(annotation["expr"]))


def replaced(expression: str) -> str:
    """The query that Grafana sends."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def selectors(expression: str) -> list[str]:
    """Selectors of metrics in a query, C(name{label="value"}), in their order, without matchers that match everything."""
    blank = _STRING.sub(lambda match: '"' + "x" * (len(match[0]) - 2) + '"', expression)
    blank = _LABELS.sub(lambda match: " " * len(match[0]), blank)
    # Durations and numbers such as 5m, 1e3 are no names.
    blank = re.sub(r"(?<![\w:])\d[\w.]*", lambda match: " " * len(match[0]), blank)
    found: list[str] = []
    end = 0
    for match in _NAME.finditer(blank):
        # Within a selector that was read, or a text that is an argument.
        if match.start() < end or blank.count('"', 0, match.start()) % 2:
            continue
        end = match.end()
        matchers: list[str] = []
        if blank[end:end + 1] == "{":
            close = blank.index("}", end)
            inside = expression[end + 1:close]
            matchers = [item for item in re.findall(r'\w+\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"', inside) if not item.endswith('=~".*"')]
            end = close + 1
        elif match[0] in WORDS:
            continue
        selector = match[0] + ("{" + ",".join(matchers) + "}" if matchers else "")
        if selector not in found:
            found.append(selector)
    return found


def names(expression: str) -> list[str]:
    """Names of metrics in a query."""
    return list(dict.fromkeys(selector.partition("{")[0] for selector in selectors(expression)))
