# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every name of a metric in the rules and dashboards exists in every vLLM version, in the collector, or in another program of the monitoring host."""

from __future__ import annotations

import json
import re

import monitoring_queries
import pytest
import vllm_metrics
import yaml
from ansible_collections.inferops.gpu.plugins.module_utils.metrics.families import FAMILIES

VERSIONS = vllm_metrics.expand(json.loads(vllm_metrics.TABLE.read_text(encoding="utf-8")))
# Of vLLM, only with a setting of the service: a panel says so.
ONLY_WITH = {
    "vllm:spec_decode_num_accepted_tokens_total": "speculative_config",
    "vllm:spec_decode_num_accepted_tokens_per_pos_total": "speculative_config",
    "vllm:spec_decode_num_draft_tokens_total": "speculative_config",
    "vllm:spec_decode_num_drafts_total": "speculative_config",
}
# Prometheus itself, and programs of Debian's packages; tests/lab/monitoring/test_1_queries.py runs against the real ones.
OTHERS = re.compile(r"up|ALERTS|(probe|node|prometheus|alertmanager)_\w+")
RECORDED = {
    rule["record"]: rule["expr"]
    for path in [*sorted(monitoring_queries.RULES.glob("*.yml")), monitoring_queries.OBJECTIVES]
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"] if "record" in rule
}
QUERIES = [*monitoring_queries.queries(), *monitoring_queries.objective_queries()]


def _exists(name: str, version: str) -> bool:
    """Whether an engine of the version has a metric without any setting, or with a known one."""
    table = VERSIONS[version]
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    what = table.get(name) or (table.get(base) if table.get(base, [""])[0] in ("histogram", "summary") else None)
    return what is not None and (not what[2] or name in ONLY_WITH)


def _missing(name: str) -> list[str]:
    """Versions in which a name has no series."""
    if name in RECORDED:
        alternatives = monitoring_queries.names(RECORDED[name])
        if any(item.startswith(("vllm:", "http_")) for item in alternatives):
            return [version for version in VERSIONS if not any(_exists(item, version) for item in alternatives)]
        return [version for item in alternatives for version in _missing(item)]
    if name.startswith(("vllm:", "http_")):
        return [version for version in VERSIONS if not _exists(name, version)]
    return [] if name in FAMILIES or OTHERS.fullmatch(name) else ["any"]


@pytest.mark.parametrize("query", [query for query in QUERIES if not re.match(r"rule inferops:\w+$", query.where)], ids=lambda query: query.where)
def test_names_exist_in_every_version(query: monitoring_queries.Query) -> None:
    """Recording rules are looked through where they are used, and in the next test."""
    missing = {name: versions for name in monitoring_queries.names(query.expression) if (versions := _missing(name))}
    assert not missing


def test_recorded_alternatives_are_used_and_needed() -> None:
    """Each name of an alternative is one that some version has, and no version has none."""
    for record, expression in RECORDED.items():
        for name in monitoring_queries.names(expression):
            if name.startswith("vllm:"):
                assert any(_exists(name, version) for version in VERSIONS), name
        assert not _missing(record), record


def test_recorded_names_exist() -> None:
    """What starts with inferops: is recorded by a rule."""
    used = {name for query in QUERIES for name in monitoring_queries.names(query.expression) if name.startswith("inferops:")}
    assert used == set(RECORDED)


def test_exceptions_are_needed() -> None:
    used = {name for query in QUERIES for name in monitoring_queries.names(query.expression)}
    assert set(ONLY_WITH) <= used


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (a, le) (rate(x_bucket{job="v}{",c=~".*"}[5m]))', ['x_bucket{job="v}{"}']),
        ('up == bool 0 unless on (up, z) inferops:y == 1', ["up", "inferops:y"]),
        ('label_replace(a{x="1"}, "host", "$1", "node", "(.+)") unless b', ['a{x="1"}', "b"]),
        ("histogram_quantile(0.5, a) > 2e3 and time() - b offset 1h", ["a", "b"]),
        ('a{x="1"} / on (s) group_left () (b > 0) or on () vector(0)', ['a{x="1"}', "b"]),
    ],
)
def test_selectors_of_a_query(expression: str, found: list[str]) -> None:
    assert monitoring_queries.selectors(expression) == found


@pytest.mark.parametrize("query", [*monitoring_queries.rule_queries(), *monitoring_queries.objective_queries()], ids=lambda query: query.where)
def test_rules_name_the_job_of_each_metric(query: monitoring_queries.Query) -> None:
    """An engine's /metrics may have series of any name, such as the collector's: only their job cannot be chosen by it."""
    own = [selector for selector in monitoring_queries.selectors(query.expression) if not selector.startswith("inferops:")]
    assert all(re.search(r'\{job(=|=~)"', selector) for selector in own), own
