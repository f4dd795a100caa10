# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of AWX against the modules' own specifications, and against itself: whatever a name refers to is there, and made before."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from configuration import DATA, KEY_TEXT, ROOT, read, steps, tasks, validator
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

# What an option names, by option: the list that has to have an entry of that name.
REFERENCES = {
    "organization": "controller_organizations",
    "credentials": "controller_credentials",
    "execution_environment": "controller_execution_environments",
    "project": "controller_projects",
    "source_project": "controller_projects",
    "inventory": "controller_inventories",
    "workflow_job_template": "controller_workflows",
    "credential_type": "controller_credential_types",
}
# What AWX brings along.
BUILT_IN = {"controller_credential_types": {"Machine"}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read(tmp_path_factory.mktemp("awx") / "key")


def named(data: dict[str, Any], name: str) -> set[str]:
    """Names of a list's entries that are to be present."""
    return {entry["name"] for entry in data[name] if entry.get("state", "present") == "present"} | BUILT_IN.get(name, set())


@pytest.mark.parametrize(("module", "name"), steps(), ids=[name for _module, name in steps()])
def test_options_are_those_of_the_module(data: dict[str, Any], module: str, name: str) -> None:
    """Nothing unknown, nothing missing, everything of its type, by the module's own code."""
    check = validator(module)
    assert data[name], f"{name} has no entry"
    for entry in data[name]:
        assert check.validate(entry).error_messages == [], entry.get("name", entry)


def test_every_list_is_used_once(data: dict[str, Any]) -> None:
    """No list of the data is forgotten by the playbook."""
    lists = {name for name in data if name.startswith("controller_")} - {"controller_survey_questions"}
    used = Counter(name for _module, name in steps())
    assert set(used) == lists and set(used.values()) == {1}


def test_credentials_are_not_printed() -> None:
    """A loop's items are part of the results."""
    assert [task["name"] for task in tasks() if task.get("no_log")] == ["Create credentials"]


def test_names_refer_to_what_was_made_before(data: dict[str, Any]) -> None:
    """Each reference is to an entry of a list whose turn comes earlier."""
    order = [name for _module, name in steps()]
    for module, name in steps():
        for entry in data[name]:
            for option, where in REFERENCES.items():
                wanted = entry.get(option, [])
                for one in [wanted] if isinstance(wanted, str) else wanted:
                    assert one in named(data, where), f"{name}: {option} {one}"
                    assert order.index(where) < order.index(name), f"{name} comes before {where}"
            assert entry.get("state", "present") in ("present", "absent", "exists"), module


def test_launchable_names_are_unique(data: dict[str, Any]) -> None:
    """AWX's modules look a node's or a schedule's template up by name among all that can be launched, approvals too."""
    lists = ("controller_projects", "controller_inventory_sources", "controller_templates", "controller_workflows")
    names = [entry["name"] for name in lists for entry in data[name]]
    names += [node["approval_node"]["name"] for node in data["controller_workflow_nodes"] if "approval_node" in node]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    launchable = named(data, "controller_templates") | named(data, "controller_workflows")
    nodes = [node for node in data["controller_workflow_nodes"] if "unified_job_template" in node]
    assert {entry["unified_job_template"] for entry in [*nodes, *data["controller_schedules"]]} <= launchable


def test_each_cluster_has_an_inventory() -> None:
    """Every folder of inventories/ but the lab's, synchronised from the project with nothing left over."""
    clusters = {path.name for path in (ROOT / "inventories").iterdir() if path.is_dir()} - {"lab"}
    data = read(Path("/dev/null"))
    sources = data["controller_inventory_sources"]
    assert {source["source_path"] for source in sources} == {f"inventories/{cluster}" for cluster in clusters}
    assert {source["inventory"] for source in sources} == named(data, "controller_inventories") == clusters
    for source in sources:
        assert source["source"] == "scm" and source["overwrite"] is True and source["overwrite_vars"] is True and source["update_on_launch"] is True


def test_project_is_updated_and_its_collections_installed(data: dict[str, Any]) -> None:
    """Without a Galaxy credential of the organization AWX skips collections/requirements.yml."""
    assert all(project["scm_type"] == "git" and project["scm_update_on_launch"] for project in data["controller_projects"])
    assert all(organization["galaxy_credentials"] == data["awx_galaxy_credentials"] != [] for organization in data["controller_organizations"])


def test_what_the_jobs_are_is_there(data: dict[str, Any]) -> None:
    """The templates that people are promised."""
    assert named(data, "controller_templates") == {f"inferops {job}" for job in (
        "deploy", "plan", "verify", "status", "weights only", "remove", "doctor", "restart", "stop", "start", "rollback", "maintenance",
    )}


def test_cluster_and_group_are_asked_for_and_nothing_free(data: dict[str, Any]) -> None:
    """Inventory and limit are prompts of every template and workflow; extra variables are not, so nothing gets past the form."""
    for entry in [*data["controller_templates"], *data["controller_workflows"]]:
        assert (entry["ask_inventory_on_launch"], entry["ask_limit_on_launch"], entry["ask_variables_on_launch"]) == (True, True, False)
        assert "limit" not in entry and "inventory" not in entry


def test_workflow_hands_the_limit_on(data: dict[str, Any]) -> None:
    """Plan, approval, deploy, verify, each after the success of the one before; no node with a limit or inventory of its own."""
    [workflow] = data["controller_workflows"]
    nodes = {node["identifier"]: node for node in data["controller_workflow_nodes"]}
    after = {link["identifier"]: link["success_nodes"] for link in data["controller_workflow_links"]}
    way, here = [], ["plan"]
    while here:
        way += here
        here = after.pop(here[0], [])
    assert way == ["plan", "approval", "deploy", "verify"] == list(nodes) and after == {}
    assert all(node["workflow_job_template"] == workflow["name"] for node in [*nodes.values(), *data["controller_workflow_links"]])
    assert not [node for node in nodes.values() if {"limit", "inventory", "extra_data"} & set(node)]
    assert "approval_node" in nodes["approval"] and not [name for name in way if name != "approval" and "approval_node" in nodes[name]]
    # A link to an approval's own success nodes in one call asks AWX for associations of the approval, which has none.
    assert all(set(link) == {"identifier", "success_nodes", "workflow_job_template", "organization"} for link in data["controller_workflow_links"])


def test_schedules_are_hourly(data: dict[str, Any]) -> None:
    """What AWX asks of a rule, and an inventory each, since the template has none; one for each cluster."""
    for schedule in data["controller_schedules"]:
        assert re.fullmatch(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=HOURLY;INTERVAL=1", schedule["rrule"])
        assert schedule["unified_job_template"] == "inferops status"
    assert [schedule["inventory"] for schedule in data["controller_schedules"]] == [entry["name"] for entry in data["controller_inventories"]]


def test_secrets_are_secret_and_injected_as_variables_that_roles_read(data: dict[str, Any]) -> None:
    """Fields are secret and of the form that AWX takes; each is injected, as a variable of a role, and as nothing when it is empty."""
    from role_specs import options

    known = {**options("weights"), **options("model_service")}
    [kind] = data["controller_credential_types"]
    fields = {field["id"]: field for field in kind["inputs"]["fields"]}
    assert all(field["secret"] is True and field["type"] == "string" and re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) for name, field in fields.items())
    # The environment of a job is kept beside its events.
    assert set(kind["injectors"]) == {"extra_vars"}
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    lenient = ImmutableSandboxedEnvironment()
    seen = set()
    for variable, template in kind["injectors"]["extra_vars"].items():
        assert known[variable]["type"] == "str" and known[variable]["default"] == lenient.from_string(template).render() == ""
        seen |= {name for name in fields if environment.from_string(template).render({**dict.fromkeys(fields, ""), name: "s3cr3t"}) == "s3cr3t"}
        # An inventory's own word has another name, so that an empty field cannot take it away.
        assert "credential" in variable
    assert seen == set(fields)
    inputs = {credential["name"]: credential["inputs"] for credential in data["controller_credentials"]}
    assert set(inputs["inferops secrets"]) == set(fields) and inputs["inferops hosts"]["ssh_key_data"] == KEY_TEXT
    assert all(credential["update_secrets"] is False for credential in data["controller_credentials"])


def test_every_entry_can_be_taken_out() -> None:
    """Nothing that another entry refers to stands in an entry of a list: the examples are to go."""
    root = yaml.compose(DATA.read_text(encoding="utf-8"))
    lists = {key.value: value for key, value in root.value if key.value.startswith("controller_") and key.value != "controller_survey_questions"}
    assert lists
    events = list(yaml.parse(DATA.read_text(encoding="utf-8")))
    for name, value in lists.items():
        inside = [event for event in events if value.start_mark.index <= event.start_mark.index < value.end_mark.index]
        anchors = [event.anchor for event in inside if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent)]
        assert anchors == [], name
