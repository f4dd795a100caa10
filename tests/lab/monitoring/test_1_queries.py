# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every query of the rules and the dashboards has series in a Prometheus that has scraped the real engine, host and collector.

Against another Prometheus: INFEROPS_PROMETHEUS=http://127.0.0.1:9090 python -m pytest tests/lab/monitoring/test_1_queries.py
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import monitoring_queries  # noqa: E402

NAMED = Path(__file__).with_name("queries_without_series.yml")
# A rate of 5m needs two scrapes, a recording rule an evaluation after them, and a rate of that two evaluations.
SECONDS = 120
# Series of alerts that fire, which Prometheus makes itself: none, if nothing is wrong. Their queries only have to be valid.
ALERTS = "ALERTS"
Count = Callable[[str], int]


@pytest.fixture(scope="module", name="count")
def _count(request: pytest.FixtureRequest) -> Count:
    """Number of series that a query returns now."""
    url = os.environ.get("INFEROPS_PROMETHEUS", "")
    if not url:
        request.getfixturevalue("loaded")
        url = request.getfixturevalue("prometheus")

    def run(expression: str) -> int:
        body = urllib.parse.urlencode({"query": expression}).encode()
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query", body, timeout=30) as answer:
                return len(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from error

    return run


@pytest.fixture(scope="module", name="empty")
def _empty(count: Count) -> dict[str, list[str]]:
    """Selectors and queries without a series, each with where it stands."""
    wanted: dict[str, list[str]] = {}
    for query in monitoring_queries.queries():
        selectors = [selector for selector in monitoring_queries.selectors(query.expression) if not selector.startswith(ALERTS)]
        for selector in selectors:
            wanted.setdefault(selector, []).append(query.where)
        # A rule that finds nothing wrong returns nothing; of rules only the selectors count, and that they can be evaluated.
        if query.where.startswith("rule ") or not selectors:
            count(query.expression)
        else:
            wanted.setdefault(query.where, []).append(query.expression)
    expressions = {query.where: query.expression for query in monitoring_queries.queries()}
    reasons = _reasons()
    until = time.monotonic() + (0 if os.environ.get("INFEROPS_PROMETHEUS") else SECONDS)
    while True:
        empty = {name: wheres for name, wheres in wanted.items() if not count(expressions.get(name, name))}
        if not set(empty) - set(reasons) or time.monotonic() >= until:
            return empty
        time.sleep(10)


@functools.lru_cache(maxsize=None)
def _reasons() -> dict[str, str]:
    named: dict[str, str] = yaml.safe_load(NAMED.read_text(encoding="utf-8"))
    return named


def test_every_query_has_series(empty: dict[str, list[str]]) -> None:
    """Or is named in queries_without_series.yml with a reason."""
    missing = {name: wheres for name, wheres in empty.items() if name not in _reasons()}
    assert not missing, "without a series:\n" + "\n".join(f"{name}\n    {wheres[0]}" for name, wheres in missing.items())


def test_named_queries_have_no_series(empty: dict[str, list[str]]) -> None:
    """A name goes once its query has series, or is gone."""
    assert sorted(set(_reasons()) - set(empty)) == []


def test_each_name_has_a_reason() -> None:
    assert all(isinstance(reason, str) and len(reason) > 10 for reason in _reasons().values())
