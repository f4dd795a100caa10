# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every alert has a severity, a sentence, a runbook and tests of promtool; nothing is left over."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import alert_docs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
RUNBOOKS = ROOT / "docs/runbooks"
RULE_TESTS = ROOT / "tests/lab/monitoring/rule_tests"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
ALERTS = alert_docs.alerts()
NAMES = sorted({alert["alert"] for alert in ALERTS})


def _ids(alert: dict[str, object]) -> str:
    return f"{alert['alert']}-{alert['labels']['severity']}"  # type: ignore[index]


@pytest.mark.parametrize("alert", ALERTS, ids=_ids)
def test_alert_is_complete(alert: dict[str, object]) -> None:
    """Severity, how long, one sentence with what it is about, where to look, and the runbook in two forms."""
    name = str(alert["alert"])
    assert re.fullmatch(r"Inferops[A-Za-z]+", name)
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert re.fullmatch(r"\d+[mh]", str(alert["for"]))
    annotations = alert["annotations"]
    assert isinstance(annotations, dict) and sorted(annotations) == ["description", "runbook", "runbook_url", "summary"]
    assert annotations["summary"].endswith(".") and annotations["description"].endswith(".")
    assert "$labels." in annotations["summary"] or "Objective" in name
    assert annotations["runbook"] == f"docs/runbooks/{name}.md"
    assert annotations["runbook_url"] == f"https://github.com/inferops/gpu/blob/main/docs/runbooks/{name}.md"


def test_no_alert_twice() -> None:
    assert len({_ids(alert) for alert in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("name", NAMES)
def test_runbook_has_its_headings(name: str) -> None:
    """In this order, each with text; the diagnosis has commands, and the playbooks that a page names exist."""
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    title, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert title.strip() == f"# {name}"
    assert [section.partition("\n")[0] for section in sections] == HEADINGS
    assert all(section.partition("\n")[2].strip() for section in sections)
    assert re.search(r"^    \S", sections[2], re.MULTILINE), "no command in Diagnosis"
    for playbook in re.findall(r"playbooks/(\w+\.yml)", text):
        # Made by the role that these rules belong to.
        assert playbook == "monitoring.yml" or (ROOT / "playbooks" / playbook).is_file(), playbook


def test_no_runbook_without_an_alert() -> None:
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md")) == NAMES


@functools.lru_cache(maxsize=None)
def _expected(name: str) -> list[tuple[str, list[str]]]:
    """For each test of promtool of an alert: its name, and the severities that have to fire."""
    tests = yaml.safe_load((RULE_TESTS / f"{name}.yml").read_text(encoding="utf-8"))["tests"]
    return [
        (str(test["name"]), [alert["exp_labels"]["severity"] for alert in rule["exp_alerts"]])
        for test in tests for rule in test["alert_rule_test"] if rule["alertname"] == name
    ]


@pytest.mark.parametrize("alert", ALERTS, ids=_ids)
def test_alert_has_tests_that_fire_and_that_do_not(alert: dict[str, object]) -> None:
    severity = _ids(alert).partition("-")[2]
    expected = _expected(str(alert["alert"]))
    assert any(severity in fired for _name, fired in expected), "no test in which it fires"
    assert any(severity not in fired and "does not fire" in name for name, fired in expected), "no test in which it does not fire"
    # The name of a test is what it expects.
    for name, fired in expected:
        own = name.partition(": ")[0] if re.match(r"(critical|warning): ", name) else severity
        assert (own not in fired) == ("does not fire" in name), name


def test_no_rule_test_without_an_alert() -> None:
    assert sorted(path.stem for path in RULE_TESTS.glob("*.yml")) == NAMES


def test_table_of_alerts_is_current() -> None:
    """`python tests/tools/alert_docs.py` writes it."""
    assert alert_docs.PAGE.read_text(encoding="utf-8") == alert_docs.page()
