# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of the services' objectives; tests/lab/monitoring/rule_tests has promtool's tests of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.inferops.gpu.plugins.plugin_utils.monitoring import objectives

ROOT = Path(__file__).resolve().parents[5]
EXAMPLE = ROOT / "tests/lab/monitoring/rule_tests/objectives/rules.yml"


def service(**wanted: Any) -> dict[str, Any]:
    return {"cluster": "c1", "service": "qwen", "host": "gpu1", "model": "qwen3", "release": "vllm-0.32.0", "task": "chat", "objectives": wanted}


def test_rules_that_promtool_tests_are_these() -> None:
    closed = {**service(), "service": "closed", "scraped": False}
    made = objectives.rules([service(ttft_seconds=2, ttft_ratio=0.99, queue_seconds=2, error_ratio=0.001), closed])
    assert yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")) == made


def test_no_objectives_no_rules() -> None:
    """A ratio without seconds is no objective."""
    assert objectives.rules([service(), service(ttft_ratio=0.9), {**service(), "objectives": None}]) == {"groups": []}


def test_each_service_has_a_group_of_its_own() -> None:
    """In an order that does not depend on the inventory's, so that a second run changes nothing."""
    services = [service(ttft_seconds=2), {**service(ttft_seconds=3), "host": "gpu2"}]
    made = objectives.rules(services)
    assert made == objectives.rules(services[::-1])
    assert [group["name"] for group in made["groups"]] == ["inferops-objectives c1 qwen gpu1", "inferops-objectives c1 qwen gpu2"]


def test_no_two_groups_have_one_name() -> None:
    """Prometheus refuses a file with two."""
    services = [{**service(ttft_seconds=2), "service": name, "host": host} for name, host in (("qwen", "big-gpu1"), ("qwen-big", "gpu1"))]
    services.append({**service(ttft_seconds=2), "cluster": "c1-qwen", "service": "big", "host": "gpu1"})
    assert len({group["name"] for group in objectives.rules(services)["groups"]}) == 3


@pytest.mark.parametrize(("ratio", "quantiles"), [(0.99, ["0.856", "0.94"]), (0.999, ["0.9856", "0.994"]), (0.9, ["0.05", "0.4"]), (0.5, ["0.05", "0.05"])])
def test_quantile_of_a_burn_rate(ratio: float, quantiles: list[str]) -> None:
    """1 - factor * budget; a low objective cannot burn that fast, and its rule stays one that can fire."""
    (group,) = objectives.rules([service(ttft_seconds=2, ttft_ratio=ratio)])["groups"]
    found = [re.findall(r"histogram_quantile\(([\d.]+),", rule["expr"]) for rule in group["rules"] if "alert" in rule]
    assert found == [[quantile, quantile] for quantile in quantiles]


@pytest.mark.parametrize(
    ("objectives_of", "said"),
    [
        ({"ttft_seconds": 2}, ["14.4 times too fast. A month's budget lasts two days", "6 times too fast. A month's budget lasts five days"]),
        ({"ttft_seconds": 2, "ttft_ratio": 0.5}, ["1.9 times too fast. A month's budget lasts 16 days"] * 2),
        ({"error_ratio": 0.1}, ["9.5 times too fast. A month's budget lasts 3.2 days", "6 times too fast. A month's budget lasts five days"]),
    ],
)
def test_texts_say_how_fast_the_budget_burns(objectives_of: dict[str, float], said: list[str]) -> None:
    """A large budget cannot burn 14.4 times too fast, and its alert does not say so."""
    (group,) = objectives.rules([service(**objectives_of)])["groups"]
    texts = [rule["annotations"]["description"] for rule in group["rules"] if "alert" in rule]
    assert [wanted in text for wanted, text in zip(said, texts)] == [True, True]


def test_names_cannot_leave_their_place() -> None:
    """Neither a text of PromQL nor that of a template."""
    (group,) = objectives.rules([{**service(ttft_seconds=2), "cluster": 'a"} or up{x="\\', "host": "{{{ .Labels }}"}])["groups"]
    rule = group["rules"][1]
    assert 'cluster="a\\"} or up{x=\\"\\\\"' in rule["expr"]
    assert "{{" not in rule["annotations"]["summary"]
