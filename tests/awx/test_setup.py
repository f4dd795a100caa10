# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""C(awx_setup.yml) run by the modules of C(awx.awx) against a stand-in: on a fresh AWX, a second time, and with secrets updated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from configuration import KEY_TEXT, ROOT, read, steps
from stand_in import TOKEN, Api, serving

SECRETS = {"awx_weights_token": "hf_t0kenOfTheTest", "awx_api_key": "sk-k3yOfTheTest"}
Setup = Callable[..., str]


@pytest.fixture(scope="module")
def api() -> Api:
    made = Api()
    made.playbooks = ["site.yml", *(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))]
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read(tmp_path_factory.mktemp("data") / "key")


@pytest.fixture(scope="module")
def setup(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Runs the playbook and gives what it printed."""
    key = tmp_path_factory.mktemp("awx") / "key"
    key.write_text(KEY_TEXT, encoding="utf-8")

    def run(*options: str, fails: bool = False) -> str:
        variables = [f"{name}={value}" for name, value in {**SECRETS, "awx_ssh_key_file": key}.items()]
        command = [sys.executable, "-m", "ansible", "playbook", "playbooks/awx_setup.yml", "-v", *(word for one in variables for word in ("-e", one)), *options]
        environment = {**os.environ, "CONTROLLER_HOST": address, "CONTROLLER_OAUTH_TOKEN": TOKEN, "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=300)
        assert (done.returncode != 0) is fails, done.stdout
        assert not [secret for secret in (*SECRETS.values(), KEY_TEXT.splitlines()[1], TOKEN) if secret in done.stdout]
        return done.stdout

    with serving(api) as address:
        yield run


def changed(output: str) -> dict[str, int]:
    """How many entries each task has changed; of credentials nothing is printed but that some have."""
    found: dict[str, int] = {}
    for block in re.split(r"^TASK \[", output, flags=re.MULTILINE)[1:]:
        found[block.split("]", 1)[0]] = len(re.findall(r"^changed: ", block, re.MULTILINE))
    return {task: count for task, count in found.items() if count}


def only(*lists: str) -> tuple[str, str]:
    """Options for a run that is about some lists alone, which is quicker."""
    return "-e", json.dumps({name: [] for name in data_lists() if name not in lists})


def data_lists() -> set[str]:
    """The lists that the playbook makes entries of."""
    return {name for _module, name in steps()}


def test_0_a_dry_run_on_a_fresh_awx(setup: Setup, api: Api, data: dict[str, Any]) -> None:
    """--check names all that would be made, although AWX knows nothing yet that most of it refers to."""
    output = setup("--check")
    assert api.changes == [] and api.objects["organizations"] == {}
    for name in data_lists() - {"controller_workflow_nodes", "controller_workflow_links"}:
        for entry in data[name]:
            assert f": {entry['name']}'" in output, entry["name"]
    assert "nodes: inferops rollout, verify" in output


def test_0_a_project_that_cannot_be_updated(setup: Setup, api: Api) -> None:
    """It is made, and the run says that its update failed; so does the next one, instead of going on without a playbook."""
    api.updates_fail = True
    for _time in range(2):
        assert "update failed" in setup(*only("controller_organizations", "controller_projects"), fails=True).lower().replace(" - inferops gpu,", "")
    assert list(api.named("projects")) == ["inferops gpu"]
    api.updates_fail = False


def test_1_a_fresh_awx(setup: Setup, api: Api, data: dict[str, Any]) -> None:
    """Everything is made, in an order in which every name is found; what AWX stores is what the data says. At no time does a launch do a part."""
    seen = set()
    api.before_change = lambda _method, _path: seen.add(tuple(api.would_run("inferops rollout")))
    made = changed(setup())
    api.before_change = lambda _method, _path: None
    assert seen <= {(), ("plan", "approval", "deploy", "verify")} and api.would_run("inferops rollout") == ["plan", "approval", "deploy", "verify"]
    assert made["Update projects whose last update failed"] == 1 and made["Create job templates"] == len(data["controller_templates"])
    assert made["Create schedules"] == len(data["controller_schedules"])
    for kind, name in (("job_templates", "controller_templates"), ("workflow_job_templates", "controller_workflows")):
        stored = api.named(kind)
        assert set(stored) == {entry["name"] for entry in data[name]}
        for entry in data[name]:
            number = stored[entry["name"]]["id"]
            assert api.surveys.get((kind, number)) == entry.get("survey_spec")
            assert sorted(api.linked(kind, number, "credentials")) == sorted(entry.get("credentials", []))
            assert stored[entry["name"]]["ask_limit_on_launch"] is True and stored[entry["name"]]["ask_variables_on_launch"] is False
    assert api.linked("organizations", api.named("organizations")["inferops"]["id"], "galaxy_credentials") == ["Ansible Galaxy"]


def test_2_secrets(api: Api) -> None:
    """AWX has the secrets, and the templates of the credential type as templates."""
    assert api.named("credentials")["inferops secrets"]["inputs"] == {"weights_token": SECRETS["awx_weights_token"], "api_key": SECRETS["awx_api_key"]}
    assert api.named("credentials")["inferops hosts"]["inputs"]["ssh_key_data"] == KEY_TEXT
    assert api.named("credential_types")["inferops secrets"]["injectors"] == {
        "extra_vars": {"weights_credential_token": "{{ weights_token }}", "model_service_credential_api_key": "{{ api_key }}"}
    }


def test_3_workflow(api: Api) -> None:
    """Four nodes in a row, the second of them an approval."""
    nodes = api.named("workflow_job_template_nodes")
    links = {name: api.linked("workflow_job_template_nodes", node["id"], "success_nodes") for name, node in nodes.items()}
    assert links == {"plan": ["approval"], "approval": ["deploy"], "deploy": ["verify"], "verify": []}
    templates = {found["id"]: name for name, found in api.named("job_templates").items()}
    assert [templates[nodes[name]["unified_job_template"]] for name in ("plan", "deploy", "verify")] == [
        "inferops plan", "inferops deploy", "inferops verify",
    ]
    assert list(api.named("workflow_approval_templates")) == ["Approve the plan"]


def test_4_schedules(api: Api) -> None:
    """Each for an inventory of its own."""
    inventories = {found["id"]: name for name, found in api.named("inventories").items()}
    status = api.named("job_templates")["inferops status"]["id"]
    schedules = api.named("schedules").values()
    assert {inventories[found["inventory"]] for found in schedules} == set(inventories.values()) and {found["unified_job_template"] for found in schedules} == {status}


def test_5_a_second_time(setup: Setup, api: Api) -> None:
    """Nothing is reported as changed, and nothing is sent but what the module inventory always sends. A run that has no secrets takes none away."""
    api.changes.clear()
    assert changed(setup("-e", "awx_weights_token=", "-e", "awx_api_key=")) == {}
    assert {path.rsplit("/", 2)[0] for _method, path in api.changes} <= {"/api/v2/inventories"}
    assert api.named("credentials")["inferops secrets"]["inputs"]["api_key"] == SECRETS["awx_api_key"]


def test_6_secrets_updated(setup: Setup, api: Api) -> None:
    """What is asked for is written, and reported as changed."""
    assert changed(setup("-e", "awx_update_secrets=true", "-e", "awx_api_key=another", *only("controller_credentials"))) == {"Create credentials": 2}
    assert api.named("credentials")["inferops secrets"]["inputs"]["api_key"] == "another"


def test_7_check_mode(setup: Setup, api: Api) -> None:
    """--check tells of a change and makes none; lists can be overridden, as in a file of the user's own."""
    api.changes.clear()
    mine = json.dumps({"controller_organizations": [{"name": "inferops", "description": "other"}]})
    assert changed(setup("--check", *only("controller_organizations"), "-e", mine)) == {"Create organizations": 1}
    assert api.changes == []


def test_8_what_is_absent_goes(setup: Setup, api: Api) -> None:
    """An entry with a state is brought to it."""
    gone = json.dumps({"controller_schedules": [{"name": name, "state": "absent"} for name in api.named("schedules")]})
    assert changed(setup(*only("controller_schedules"), "-e", gone)) == {"Create schedules": 2}
    assert api.named("schedules") == {}


def test_9_without_galaxy(setup: Setup, api: Api) -> None:
    """The credential is taken from the organization, so that AWX asks no Galaxy."""
    assert changed(setup("-e", '{"awx_galaxy_credentials": []}', *only("controller_organizations"))) == {"Create organizations": 1}
    assert api.linked("organizations", api.named("organizations")["inferops"]["id"], "galaxy_credentials") == []
