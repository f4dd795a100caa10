# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-in refuses what AWX refuses, each with a small input beside one that it takes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import rules
from stand_in import Api

PROJECT = {"id": 1, "scm_type": "git", "playbook_files": ["site.yml"]}
TEMPLATE = {"project": 1, "playbook": "site.yml", "ask_inventory_on_launch": True}
FIELDS = {"inputs": {"fields": [{"id": "token", "label": "Token", "secret": True}]}, "kind": "cloud"}
RULE = "DTSTART:20260101T000000Z RRULE:FREQ=HOURLY;INTERVAL=1"
QUESTION = {"variable": "a", "question_name": "A", "question_description": "", "type": "text", "required": False}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"project": 2}, "project"),
        ({"playbook": "other.yml"}, "playbook"),
        ({"playbook": ""}, "playbook"),
        ({"ask_inventory_on_launch": False}, "inventory"),
        ({"ask_scm_branch_on_launch": True}, "ask_scm_branch_on_launch"),
        ({"job_type": "scan"}, "job_type"),
    ],
)
def test_job_template(change: dict[str, Any], field: str | None) -> None:
    assert list(rules.job_template({**TEMPLATE, **change}, None, {1: PROJECT})) == ([field] if field else [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"kind": "ssh"}, "kind"),
        ({"inputs": {"fields": [{"id": "1", "label": "x"}]}}, "inputs"),
        ({"injectors": {"extra_vars": {"a": "{{ token }}"}}}, None),
        ({"injectors": {"extra_vars": {"a": "{{ tokn }}"}}}, "injectors"),
        ({"injectors": {"env": {"ANSIBLE_X": "{{ token }}"}}}, "injectors"),
        ({"injectors": {"vars": {}}}, "injectors"),
    ],
)
def test_credential_type(change: dict[str, Any], field: str | None) -> None:
    assert list(rules.credential_type({**FIELDS, **change}, None, False)) == ([field] if field else [])


def test_credential() -> None:
    kind = {"inputs": {"fields": [{"id": "key", "format": "ssh_private_key"}]}}
    assert list(rules.credential({"inputs": {}}, None, kind)) == ["detail"]
    assert list(rules.credential({"organization": 1, "inputs": {"other": "x"}}, None, kind)) == ["inputs"]
    assert list(rules.credential({"organization": 1, "inputs": {"key": "no key"}}, None, kind)) == ["inputs"]
    assert rules.credential({"organization": 1, "inputs": {"key": "$encrypted$"}}, None, kind) == {}


def test_project_and_source() -> None:
    assert list(rules.project({"scm_type": "git"}, None)) == ["scm_url"]
    assert list(rules.project({"scm_update_on_launch": True}, None)) == ["scm_update_on_launch"]
    assert rules.project({"scm_type": "git", "scm_url": "x", "scm_clean": True}, None) == {}
    assert list(rules.inventory_source({"source": "scm"}, None, {})) == ["source_project"]
    assert list(rules.inventory_source({"source": "scm", "source_project": 1}, None, {1: {"scm_type": ""}})) == ["source_project"]
    assert rules.inventory_source({"source": "scm", "source_project": 1}, None, {1: PROJECT}) == {}


def test_a_new_node_counts_as_one_with_prompts() -> None:
    """A template without an inventory is refused in a POST, and taken in a PATCH that says nothing else."""
    template = {**TEMPLATE, "kind": "job_templates"}
    node = {"workflow_job_template": 1, "unified_job_template": 2}
    assert list(rules.launch_configuration(node, None, template, None, True, False)) == ["resources_needed_to_start"]
    assert rules.launch_configuration(node, None, None, None, True, False) == {}
    assert rules.launch_configuration(node, {"identifier": "x"}, template, None, False, False) == {}
    assert list(rules.launch_configuration({"limit": "x"}, node, {**template, "inventory": 3}, None, False, False)) == ["limit"]
    assert rules.launch_configuration({**node, "inventory": 3}, None, template, None, True, True) == {}
    assert list(rules.launch_configuration({**node, "inventory": 3, "extra_data": {"x": 1}}, None, template, None, True, True)) == ["extra_data"]


@pytest.mark.parametrize(
    "rule",
    [
        "RRULE:FREQ=HOURLY;INTERVAL=1", "DTSTART:20260101T000000 RRULE:FREQ=HOURLY;INTERVAL=1", "DTSTART:20260101T000000Z RRULE:FREQ=HOURLY",
        RULE.replace("HOURLY", "SECONDLY"), RULE + ";COUNT=1000", RULE + " EXDATE:20260101T000000Z", "DTSTART:20260101T000000Z",
    ],
)
def test_schedule(rule: str) -> None:
    assert list(rules.schedule({"rrule": rule}, "job_templates", None)) == ["rrule"]
    assert rules.schedule({"rrule": RULE}, "job_templates", None) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"required": "no"}, {"type": "number"}, {"default": 1}, {"min": "0"}, {"type": "multiplechoice"}, {"default": "$encrypted$"},
        {"type": "multiplechoice", "choices": ["yes", "no"], "default": "maybe"}, {"type": "integer", "default": "1"},
    ],
)
def test_survey(change: dict[str, Any]) -> None:
    document = {"name": "", "description": "", "spec": [QUESTION]}
    assert rules.survey(document) == {}
    assert rules.survey({**document, "spec": [{**QUESTION, **change}]}) and rules.survey({**document, "spec": []})
    assert rules.survey({**document, "spec": [QUESTION, QUESTION]})


def test_links() -> None:
    """One way between two nodes of one workflow, and no circle."""
    one, two, other = ({"id": number, "workflow_job_template": workflow} for number, workflow in ((1, 1), (2, 1), (3, 2)))
    there: dict[tuple[str, int, str], list[int]] = defaultdict(list, {("workflow_job_template_nodes", 1, "success_nodes"): [2]})
    assert rules.link(one, two, "success_nodes", there) == {}
    assert rules.link(one, two, "always_nodes", there) and rules.link(two, one, "success_nodes", there) and rules.link(one, one, "success_nodes", there)
    assert rules.link(one, other, "success_nodes", there)


def test_the_stand_in_asks_the_rules() -> None:
    """Names twice, ids of nothing, and fields that are missing."""
    api = Api()
    assert api.answer("POST", "/api/v2/organizations/", {}, {"name": "a"})[0] == 201
    for kind, body in (("organizations", {"name": "a"}), ("organizations", {}), ("inventories", {"name": "i", "organization": 99})):
        assert api.answer("POST", f"/api/v2/{kind}/", {}, body)[0] == 400, body
    number = next(iter(api.objects["organizations"]))
    wrong = next(one for one in api.objects["credentials"])
    assert api.answer("POST", f"/api/v2/organizations/{number}/galaxy_credentials/", {}, {"id": wrong})[0] == 204
