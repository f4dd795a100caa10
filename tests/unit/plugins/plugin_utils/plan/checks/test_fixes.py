# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixes: each, when followed, leads to a plan without errors; and every check has an example that shows it."""

from __future__ import annotations

import importlib.util
import re

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import checks, resolve as resolving
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import PlanError, PlanWarning
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from example_builders import Example, Inventory

Found = dict[str, list[PlanError | PlanWarning]]


def _examples() -> list[Example]:
    """Those of all files in examples/."""
    found: list[Example] = []
    for path in sorted((Path(__file__).parent / "examples").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"examples_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.EXAMPLES
    return found


EXAMPLES = _examples()

# Checks without an example: there are none, and a new check comes with its own.
WITHOUT: frozenset[str] = frozenset()


NAMES = [check.name for check in (*checks.HOST_CHECKS, *checks.MULTI_NODE_CHECKS)]


def test_every_check_has_an_example() -> None:
    """A check that nobody shows being broken and healed may well be one that cannot be."""
    have = {example.check for example in EXAMPLES}
    missing = sorted(set(NAMES) - have - WITHOUT)
    assert not missing, f"add one with example(...) to a file in tests/unit/plugins/plugin_utils/plan/checks/examples/ for: {', '.join(missing)}"
    assert not have & WITHOUT, f"these have examples now, so take them out of WITHOUT: {', '.join(sorted(have & WITHOUT))}"
    assert have | WITHOUT <= set(NAMES), f"no checks of these names: {', '.join(sorted((have | WITHOUT) - set(NAMES)))}"


@pytest.fixture(name="find")
def _find(monkeypatch: pytest.MonkeyPatch, defaults: dict[str, Any], catalogue: Catalogue, tables: Tables) -> Any:
    """Plans an inventory; gives the plan and, by check, what was found."""
    found: Found = {}

    def record(name: str, findings: Iterator[PlanError | PlanWarning]) -> Iterator[PlanError | PlanWarning]:
        for finding in findings:
            found.setdefault(name, []).append(finding)
            yield finding

    for kind in (checks.Check, checks.MultiNodeCheck):
        plain = kind.findings
        monkeypatch.setattr(kind, "findings", lambda check, *of, plain=plain: record(check.name, plain(check, *of)))

    def plan(example: Example, inventory: Inventory) -> tuple[Plan, Found]:
        found.clear()
        run = example.run if inventory is example.bad else example.run_after
        asked = [question for host in inventory for question in resolving.questions(host, defaults, catalogue)]
        answers = {question: example.answers[question.repo] for question in asked if question.repo in example.answers}
        made = resolving.resolve(inventory, defaults, catalogue, tables, answers, run)
        # What may be accepted says so in the plan's own errors.
        told = {(error.host, error.service, error.key, error.why): error for error in made.errors}
        accepted = {host.name: host.variables.get("plan_accept", {}) for host in inventory}
        by_check: Found = {}
        for name, findings in found.items():
            for each in findings:
                if (each.check or name) not in accepted.get(each.host, {}):
                    known = told.get((each.host, each.service, each.key, each.why), each) if isinstance(each, PlanError) else each
                    by_check.setdefault(name, []).append(known)
        return made, by_check

    return plan


def _words(finding: PlanError | PlanWarning) -> str:
    """What a finding says to do: an error's fix, a warning's text."""
    return finding.fix if isinstance(finding, PlanError) else finding.text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.label)
def test_the_fix_leads_out(find: Any, example: Example) -> None:
    """The check finds it and says those words; after what they say there is no error, and the check is silent."""
    made, found = find(example, example.bad)
    mine = found.get(example.check, [])
    assert mine, f"{example.check} finds nothing; found was {found}"
    told = [finding for finding in mine if example.says in _words(finding)]
    assert told, [_words(finding) for finding in mine]
    # A warning has no key of its own.
    unsaid = [key for key in _changed(example) if all(isinstance(finding, PlanError) and not _says(finding, key) for finding in told)]
    assert not unsaid, f"the fix changes {', '.join(unsaid)}, of which nothing is said: {[_words(finding) for finding in told]}"
    assert _changed_facts(example) == set(example.on_host), "facts change that on_host does not name, or the other way round"
    healed, left = find(example, example.good)
    assert healed.errors == []
    others = [finding for name in left if name == example.check or name not in found for finding in left[name]]
    assert [finding for finding in others if not example.costs or example.costs not in _words(finding)] == [], "something is left, or new"


def _says(finding: PlanError, key: str) -> bool:
    where = f"{finding.key} {finding.value} {finding.why} {finding.fix}"
    return re.search(rf"(?<![a-z_]){re.escape(key)}(?![a-z_])", where) is not None


def _changed_facts(example: Example) -> set[str]:
    """Facts of hosts, by their names, that are others after the fix. Of a host that is new or gone none is."""
    before = {host.name: host.facts or {} for host in example.bad}
    pairs = [(before[host.name], host.facts or {}) for host in example.good if host.name in before]
    return {name for bad, good in pairs for name in {*bad, *good} if bad.get(name) != good.get(name)}


def _changed(example: Example) -> list[str]:
    """Names of the keys whose values the fix changes. What happens to a whole host is the user's to see to."""
    keys: list[str] = []
    before = {host.name: host for host in example.bad}
    for host in example.good:
        if host.name in before:
            keys += _differences(before[host.name].variables, host.variables, "model_services")
    return list(dict.fromkeys(keys))


def _differences(bad: Any, good: Any, name: str) -> Iterator[str]:
    if isinstance(bad, Mapping) and isinstance(good, Mapping):
        for key in [*bad, *(key for key in good if key not in bad)]:
            # A dictionary that is new, or goes, is reported by what is in it.
            left, right = bad.get(key), good.get(key)
            if key not in good and isinstance(left, Mapping):
                right = {}
            if key not in bad and isinstance(right, Mapping):
                left = {}
            if key in bad and key in good and left == right:
                continue
            yield from _differences(left, right, str(key))
    elif isinstance(bad, (list, tuple)) and isinstance(good, (list, tuple)) and len(bad) == len(good):
        for left, right in zip(bad, good):
            yield from _differences(left, right, name)
    elif bad != good or type(bad) is not type(good):
        yield name.partition(".")[0]


# Where a key changes as well, facts follow from it: what is asked of a host depends on its settings.
ON_THE_HOST = [example for example in EXAMPLES if example.on_host and not _changed(example)]


@pytest.mark.parametrize("example", ON_THE_HOST, ids=lambda example: example.label)
def test_nothing_else_leads_out(find: Any, example: Example) -> None:
    """With the facts as they were the check finds it still: the example shows that what was done on the host is what helps."""
    before = {host.name: host.facts or {} for host in example.bad}
    undone = tuple(
        replace(host, facts={**(host.facts or {}), **{name: before[host.name].get(name) for name in example.on_host}}) if host.name in before else host
        for host in example.good
    )
    _made, found = find(example, undone)
    assert found.get(example.check)
