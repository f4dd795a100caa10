# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms: against what AWX 24.6.1 asks of a survey, and against the variables of the roles that read the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import overrides
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import EVERYWHERE, HostInput
from configuration import ROOT, read
from role_specs import options, role_names
from rules import answers as refused, survey as wrong

DATA = read(Path("/dev/null"))
FORMS = {entry["name"]: entry for entry in [*DATA["controller_templates"], *DATA["controller_workflows"]] if entry.get("survey_enabled")}
QUESTIONS = {question["variable"]: question for form in FORMS.values() for question in form["survey_spec"]["spec"]}
PLAYBOOKS = {entry["name"]: entry["playbook"] for entry in DATA["controller_templates"]}
ROLE_VARIABLES = {name: option for role in role_names() for name, option in options(role).items()}

# awx/main/constants.py
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "textarea": (str,), "password": (str,), "multiplechoice": (str,), "multiselect": (str, list), "integer": (int,), "float": (float, int),
}
# What a person may ask for by the form, beside cluster and group.
WANTED = {"plan_service_model", "plan_service_vllm_version", "plan_service_port", "plan_service_gpus", "plan_service_max_model_len", "model_service_restart"}


@pytest.mark.parametrize("name", FORMS)
def test_schema(name: str) -> None:
    """What AWX checks before it takes a survey (awx/api/views, JobTemplateSurveySpec)."""
    survey = FORMS[name]["survey_spec"]
    assert set(survey) == {"name", "description", "spec"} and survey["spec"]
    variables = [question["variable"] for question in survey["spec"]]
    assert len(variables) == len(set(variables))
    for question in survey["spec"]:
        assert {"type", "question_name", "variable", "required"} <= set(question)
        assert all(isinstance(question[key], str) and question[key] for key in ("type", "question_name", "question_description", "variable"))
        assert isinstance(question["required"], bool) and question["type"] in TYPES
        assert all(type(question[key]) is int for key in ("min", "max") if key in question)
        if "default" in question:
            assert isinstance(question["default"], TYPES[question["type"]])
        if question["type"] in ("multiplechoice", "multiselect"):
            assert question["choices"] and all(isinstance(choice, str) for choice in question["choices"])
            assert question.get("default", question["choices"][0]) in question["choices"]
        else:
            assert question["min"] < question["max"], "no bounds"


def test_a_form_is_only_there_when_it_is_used() -> None:
    """AWX refuses an empty survey."""
    assert not [entry for entry in DATA["controller_templates"] if not entry.get("survey_enabled") and "survey_spec" in entry]


def test_what_people_choose() -> None:
    """Both ways to deploy ask for all of it; the order is the same in every form."""
    for name in ("inferops deploy", "inferops rollout"):
        assert {question["variable"] for question in FORMS[name]["survey_spec"]["spec"]} == WANTED | {overrides.NAME}
    listed = [question["variable"] for question in DATA["controller_survey_questions"]]
    assert set(listed) == set(QUESTIONS)
    for form in FORMS.values():
        asked = [question["variable"] for question in form["survey_spec"]["spec"]]
        assert asked == sorted(asked, key=listed.index)


def test_answers_of_a_workflow_fit_its_jobs() -> None:
    """Whoever approves has seen the plan of the very answers that are deployed and verified: the jobs read what the workflow asks."""
    asked = set(overrides.VARIABLES)
    for job in ("plan", "deploy", "verify", "weights only"):
        assert asked <= {question["variable"] for question in FORMS[f"inferops {job}"]["survey_spec"]["spec"]}


@pytest.mark.parametrize("variable", QUESTIONS)
def test_answers_are_variables(variable: str) -> None:
    """Every variable is a role's, and takes what the form sends at its bounds; one that is a playbook's own stands in it."""
    question = QUESTIONS[variable]
    if variable not in ROLE_VARIABLES:
        [name] = [name for name, form in FORMS.items() if variable in [asked["variable"] for asked in form["survey_spec"]["spec"]]]
        assert variable in (ROOT / PLAYBOOKS[name]).read_text(encoding="utf-8")
        return
    check = ArgumentSpecValidator({variable: ROLE_VARIABLES[variable]})
    for answer in answers(question):
        assert check.validate({variable: answer}).error_messages == [], answer
    if not question["required"]:
        # Left empty it is not sent, and means what the role's default means: nothing.
        assert ROLE_VARIABLES[variable]["default"] in ("", 0, [])
        assert "default" not in question


def answers(question: dict[str, Any]) -> list[Any]:
    """What AWX hands on for a question: the least, the most, each choice."""
    kind = question["type"]
    if kind == "integer":
        return [question["min"], question["max"]]
    if kind == "multiselect":
        return [question["choices"][:1], question["choices"]]
    if kind == "multiplechoice":
        return list(question["choices"])
    return ["" if question["min"] == 0 else "x" * question["min"], "x" * question["max"]]


@pytest.mark.parametrize("variable", [name for name in QUESTIONS if name in overrides.VARIABLES and QUESTIONS[name]["type"] in ("integer", "multiselect")])
def test_the_plan_takes_what_the_form_lets_through(variable: str) -> None:
    """Within the form's bounds there is no answer that the plan calls no answer."""
    services = [{"name": "one", "model": "m", "port": 8001}]
    for answer in answers(QUESTIONS[variable]):
        [host] = overrides.apply_overrides([HostInput("gpu1", {"model_services": services, variable: answer})], EVERYWHERE)
        assert host.errors == () and host.variables["model_services"] != services


def test_every_answer_of_the_plan_is_asked_for() -> None:
    """What a run can say over the inventory is in the form."""
    assert set(overrides.VARIABLES) <= set(QUESTIONS)


def test_restart_is_a_choice_of_words() -> None:
    """YAML must not have made truth values of them: AWX compares text."""
    assert QUESTIONS["model_service_restart"]["choices"] == ["yes", "no"] and QUESTIONS["model_service_restart"]["default"] == "yes"


def test_the_table_in_the_docs() -> None:
    """docs/awx.md has a row for each question, with its variable, type and bounds."""
    text = (ROOT / "docs" / "awx.md").read_text(encoding="utf-8")
    rows = {row.split("|")[2].strip().strip("`"): row for row in text.splitlines() if row.startswith("|") and row.count("|") == 7}
    for variable, question in QUESTIONS.items():
        row = rows[variable]
        assert question["question_name"] in row and f"| {question['type']} |" in row
        bounds = f"{question['min']}–{question['max']}" if "min" in question else f"{question['choices'][0]}"
        assert bounds in row, f"{variable}: {bounds}"


def test_data_reads_as_yaml_does() -> None:
    """A key given twice would be lost in silence."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        own = [key.value for key, _value in node.value]
        assert len(own) == len(set(own)), own
        loader.flatten_mapping(node)
        keys = [loader.construct_object(key) for key, _value in node.value]
        assert len(keys) == len(set(keys)), keys
        return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    Strict.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    assert yaml.load((ROOT / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8"), Loader=Strict)  # noqa: S506 - a safe loader


@pytest.mark.parametrize("name", FORMS)
def test_what_awx_takes_for_answers(name: str) -> None:
    """Nothing for what is not answered. For an integer AWX refuses what elsewhere means nothing: docs/awx.md says so to API clients."""
    document = FORMS[name]["survey_spec"]
    assert wrong(document) == {}
    required = {question["variable"]: answers(question)[0] for question in document["spec"] if question["required"]}
    assert refused(document, required) == []
    for question in document["spec"]:
        for answer in answers(question):
            assert refused(document, {**required, question["variable"]: answer}) == []
        if question["type"] == "integer":
            assert all(refused(document, {**required, question["variable"]: nothing}) for nothing in ("", 0, None))
