# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories as users write them, planned by the playbook and without a host: services of several groups, unknown names, a plan as a file, nobody there."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runs
import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import definitions
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.near_names import OWN, NearNames

ROOT = Path(__file__).resolve().parents[5]
INVENTORIES = Path(__file__).parent / "inventories_of_users"
SECRET = "s3cr3tOfTheTest"


@dataclass
class Run:
    """Exit status, what was printed, and the plan's file, None where there is none."""

    status: int
    printed: str
    plan: Any
    mode: int


def play(folder: Path, inventory: str, *options: str, playbook: str = "plan.yml") -> Run:
    """A playbook over an inventory."""
    arguments = ["-i", inventory, str(ROOT / "playbooks" / playbook), "-e", "plan_offline=true"]
    arguments += ["-e", "plan_lookup=false", "-e", "plan_output=plan.json", "-c", "local", *options]
    done = ansible_runs.playbook(*arguments, cwd=folder, timeout=300)
    file = folder / "plan.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return Run(done.returncode, " ".join(done.stdout.split()), found, stat.S_IMODE(file.stat().st_mode) if file.exists() else 0)


def services(run: Run, host: str) -> list[str]:
    return [service["name"] for service in run.plan["hosts"][host]["services"]]


def test_services_of_two_groups(tmp_path: Path) -> None:
    """With one variable one of them is lost, and it is said which and what to do; what it says leads to both."""
    lost = play(tmp_path, str(INVENTORIES / "two-groups-one-variable.yml"))
    assert lost.status == 0 and services(lost, "g") == ["coder"]
    [told] = [warning for warning in lost.plan["warnings"] if "hidden" in warning]
    assert all(word in told for word in ("g:", "chat_hosts", "coder_hosts", "chat will not be served", "model_services_chat_hosts", "hidden-services"))
    both = play(tmp_path, str(INVENTORIES / "two-groups-two-variables.yml"))
    assert both.status == 0 and services(both, "g") == ["chat", "coder"] and not any("hidden" in warning for warning in both.plan["warnings"])
    assert both.plan["hosts"]["g"]["defined_in"] == ["model_services_chat", "model_services_coder"]


@pytest.mark.parametrize(("name", "status", "hosts", "errors"), [
    ("no-warnings", 0, ["h"], []), ("no-services", 0, ["h"], []), ("wrong-port", 2, [], ["port"]), ("null-services", 2, [], ["model_services"]),
])
def test_the_plan_as_a_file(tmp_path: Path, name: str, status: int, hosts: list[str], errors: list[str]) -> None:
    """Without warnings, without services, and with errors, whose message is the last one. It is for those who run it alone."""
    run = play(tmp_path, str(INVENTORIES / f"{name}.yml"))
    assert run.status == status, run.printed
    assert sorted(run.plan["hosts"]) == hosts and [error["key"] for error in run.plan["errors"]] == errors and isinstance(run.plan["warnings"], list)
    assert "has no attribute" not in run.printed and run.mode == 0o600


def test_two_names(tmp_path: Path) -> None:
    run = play(tmp_path, str(INVENTORIES / "two-names.yml"))
    assert run.status == 0 and run.plan["hosts"]["h"]["services"][0]["served_model_names"] == ["gpt-4o", "qwen3-8b"]


def test_names_that_are_nearly_ours(tmp_path: Path) -> None:
    """A warning each, and none of a user's own variables."""
    run = play(tmp_path, str(INVENTORIES / "unknown-names.yml"), "-e", "plan_ofline=true")
    told = {warning.split()[1]: warning.rpartition("did you mean ")[2].partition("?")[0] for warning in run.plan["warnings"] if "did you mean" in warning}
    assert run.status == 0 and told == {
        "firewall_api_source": "firewall_api_sources", "weights_directory": "weights_dir", "kernel_nf_conntrack_max": "kernel_conntrack_max",
        "vllm_versoin": "vllm_version", "firewal_ssh_sources": "firewall_ssh_sources", "plan_ofline": "plan_offline",
    }


@pytest.mark.parametrize(("playbook", "limit"), [("plan.yml", []), ("site.yml", ["--limit", "anybody"])], ids=["all", "limited"])
def test_no_inventory_there(tmp_path: Path, playbook: str, limit: list[str]) -> None:
    """Ansible goes on with a warning, and ends with 0."""
    run = play(tmp_path, str(tmp_path / "no-such-inventory"), *limit, playbook=playbook)
    assert run.status != 0 and "The inventory has no host" in run.printed and "-i" in run.printed and run.plan is None


def test_nobody_serves(tmp_path: Path) -> None:
    """Nothing would be done, and nobody would be told; whichever tags there are."""
    run = play(tmp_path, str(INVENTORIES / "nobody-serves.yml"), "--tags", "verify", playbook="site.yml")
    assert run.status != 0 and "No host of this run has model_services" in run.printed and "h, i" in run.printed


@pytest.mark.parametrize("playbook", ["site", "status", "remove", "verify", "weights", "weights_prune"])
def test_every_playbook_looks_for_hosts(playbook: str) -> None:
    """In the same way."""
    [play_of] = yaml.safe_load((ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))
    assert play_of["hosts"] == "{{ 'all' | inferops.gpu.with_hosts(groups) }}"
    assert play_of["pre_tasks"][0]["ansible.builtin.import_tasks"] == "tasks/hosts.yml" and play_of["pre_tasks"][0]["tags"] == ["always"]


VAULTED = """
all:
  hosts:
    h:
      ansible_host: 10.0.0.1
      a_vault: !vault |
VAULT
      model_services: [{name: q, model: qwen3-8b, port: "{{ a_vault | from_yaml }}"}, {name: r, model: qwen3-8b, port: "{{ a_vault | int + [a_vault] }}"}]
"""


def test_an_expression_that_quotes_a_secret(tmp_path: Path) -> None:
    """Errors of filters quote what they were given; what came out of a vault is not shown, whatever the name of the variable."""
    (tmp_path / "password").write_text("word", encoding="utf-8")
    clear = f"{SECRET}: [1, {SECRET}"
    command = [sys.executable, "-m", "ansible", "vault", "encrypt_string", "--vault-password-file", "password"]
    done = subprocess.run(command, cwd=tmp_path, input=clear, text=True, capture_output=True, check=True, timeout=60)
    lines = [line.strip() for line in done.stdout.splitlines()[1:] if line.strip()]
    (tmp_path / "inventory.yml").write_text(VAULTED.replace("VAULT\n", "".join(f"        {line}\n" for line in lines)), encoding="utf-8")
    run = play(tmp_path, str(tmp_path / "inventory.yml"), "--vault-password-file", str(tmp_path / "password"))
    assert run.status != 0 and run.plan["errors"] and SECRET not in run.printed and SECRET not in json.dumps(run.plan)


# -- the parts, without Ansible


def test_what_refers_to_another_holds_it() -> None:
    """The usual way to put lists together by hand stays what it was."""
    raw = {"model_services": "{{ model_services_base + model_services_gpu }}", "model_services_base": [], "model_services_gpu": [], "other": 1}
    assert definitions.names_of(raw) == ["model_services"]
    three = {"model_services_b": [], "model_services": [], "model_services_a": []}
    assert definitions.names_of(three) == ["model_services", "model_services_a", "model_services_b"]
    assert definitions.names_of({"model_services_a": "{{ model_services }}", "model_services": []}) == ["model_services_a"]
    assert definitions.names_of({"model_servicesx": [], "my_model_services_a": []}) == []


def test_one_name_in_two_variables() -> None:
    """An error that names both."""
    found, errors = definitions.merged("h", {"model_services": [{"name": "a"}], "model_services_x": [{"name": "a"}, {"name": "b"}]})
    assert [service["name"] for service in found] == ["a", "b"]
    assert len(errors) == 1 and "model_services and model_services_x" in errors[0].why and errors[0].service == "a"


@pytest.mark.parametrize("value", [None, 5, "text", {"a": 1}])
def test_what_is_no_list(value: Any) -> None:
    found, errors = definitions.merged("h", {"model_services": [{"name": "a"}], "model_services_x": value})
    assert found == [{"name": "a"}] and [error.key for error in errors] == ["model_services_x"]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, True), ({"ancestors": frozenset({"b"})}, {}, False), ({}, {"ancestors": frozenset({"a"})}, False), ({"priority": 5}, {}, False),
        ({"raw": []}, {}, False), ({"raw": [{"name": "y"}]}, {}, False),
    ],
)
def test_what_hides_what(first: dict[str, Any], second: dict[str, Any], told: bool) -> None:
    """Not a group above, nor what was ordered by hand, nor what is the same or nothing."""
    groups = [
        definitions.Definition(**{"group": "a", "raw": [{"name": "x"}], "ancestors": frozenset({"all"}), **first}),
        definitions.Definition(**{"group": "b", "raw": [{"name": "y"}], "ancestors": frozenset({"all"}), **second}),
    ]
    assert (definitions.hidden("h", "model_services", groups, [{"name": "y"}]) is not None) is told


def test_a_host_s_own_word_hides_nothing_by_accident() -> None:
    """host_vars and -e are meant to win."""
    groups = [definitions.Definition("a", [{"name": "x"}], frozenset()), definitions.Definition("b", [{"name": "y"}], frozenset())]
    assert definitions.hidden("h", "model_services", groups, [{"name": "z"}]) is None


OF_USERS = ["host_name", "host_rack", "plan_id", "vllm_common_args", "vault_weights_token", "kernel_version", "ansible_host", "__vllm_versoin"]


@pytest.mark.parametrize("name", OF_USERS)
def test_names_of_users(name: str) -> None:
    assert NearNames(["host_home", "plan_offline", "vllm_version", "weights_token", "kernel_enabled", "multi_node_ray_version"]).warnings("h", {name: 1}) == []


def test_names_that_the_roles_set_are_known() -> None:
    """What a role keeps for the next is on a host, too, when the plan is run again."""
    known = {line.partition(":")[0] for path in ROOT.glob("roles/*/defaults/main.yml") for line in path.read_text(encoding="utf-8").splitlines()}
    set_by_us = set()
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")]:
        text = path.read_text(encoding="utf-8")
        set_by_us |= set(re.findall(r"register: ([a-z]\w*)", text))
        set_by_us |= {name for block in re.findall(r"set_fact:\n((?: {6,}.*\n)+)", text) for name in re.findall(r"(?m)^ {6,8}([a-z]\w*):", block)}
    near = NearNames(known)
    assert [name for name in sorted(set_by_us - known - OWN) if near.warnings("h", {name: 1})] == []
