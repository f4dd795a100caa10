# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Passwords in addresses where the plan does not look: of the mirror, and of what AWX is given."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.inferops.gpu.plugins.filter.credentials import credential_places
from ansible_runs import playbook

ROOT = Path(__file__).resolve().parents[4]
SECRET = "s3cr3tOfTheTest"
ADDRESS = f"https://me:{SECRET}@git.example.com/gpu.git"


@pytest.mark.parametrize(
    ("variables", "places"),
    [
        ({"a": ADDRESS, "b": "https://git.example.com/gpu.git", "c": None, "d": 5}, ["a"]),
        ({"a": [{"b": "x"}, {"b": {"c": ["y", ADDRESS]}}]}, ["a[1].b.c[1]"]),
        ({"a": {ADDRESS: 1}}, ["a"]),
        ({"a": f"hf_{SECRET}"}, ["a"]),
        ({"a": f"git@github.com:you/gpu.git?x={SECRET}", "b": "ssh://git@github.com/you/gpu.git"}, []),
        ({"a": f"registry.example.com/x?token={SECRET}"}, ["a"]),
        ({}, []),
    ],
)
def test_places(variables: dict[str, Any], places: list[str]) -> None:
    assert credential_places(variables) == places


def mirror_settings() -> list[str]:
    """Variables of the mirror that may hold an address: texts and lists of them."""
    defaults = yaml.safe_load((ROOT / "roles/weights_mirror/defaults/main.yml").read_text(encoding="utf-8"))
    return [name for name, value in defaults.items() if isinstance(value, (str, list)) and re.search("url|link|upstream", name)]


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: inferops.gpu.weights_mirror, tasks_from: preflight}
"""


def run(*command: str) -> tuple[int, str]:
    done = playbook("-i", "localhost,", "-c", "local", *command, env={"ANSIBLE_NOCOLOR": "1"}, config=ROOT / "ansible.cfg")
    assert SECRET not in done.stdout
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize("names", [[], mirror_settings()], ids=["none", "all"])
def test_the_mirror_refuses_them(tmp_path: Path, names: list[str]) -> None:
    """Before anything is installed, all of them at once; none of it is shown. Without one it goes on."""
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    values: dict[str, Any] = {"plan_facts": {"systemd": True, "python": "3.12"}}
    for name in names:
        values[name] = f"https://me:{SECRET}@x.example.com" if name.endswith(("_url", "upstream")) else [f"https://me:{SECRET}@x.example.com"]
    (tmp_path / "values.yml").write_text(yaml.safe_dump(values), encoding="utf-8")
    code, said = run(str(tmp_path / "play.yml"), "-e", f"@{tmp_path / 'values.yml'}")
    assert (code != 0) is bool(names), said
    assert not names or "host_index_credentials" in said
    assert [name for name in names if name not in said] == []


def test_the_mirror_has_such_settings() -> None:
    assert len(mirror_settings()) == 4


# What AWX is given; a list of controller_credentials may hold secrets, and no other.
AWX = {
    "awx_project_url": ADDRESS, "awx_image": f"me:{SECRET}@registry.example.com/x:1",
    **{
        f"controller_{kind}": [{"name": "x", "description": ADDRESS}]
        for kind in ("organizations", "credential_types", "execution_environments", "projects", "inventories", "inventory_sources", "templates", "workflows",
                     "workflow_nodes", "workflow_links", "schedules")
    },
}


def test_awx_is_not_given_them(tmp_path: Path) -> None:
    """AWX shows all of these to whoever may read them, so that nothing is made; a credential is the place."""
    (tmp_path / "key").write_text("key", encoding="utf-8")
    (tmp_path / "values.yml").write_text(yaml.safe_dump({**AWX, "awx_ssh_key_file": str(tmp_path / "key")}), encoding="utf-8")
    code, said = run("playbooks/awx_setup.yml", "-e", f"@{tmp_path / 'values.yml'}")
    if "couldn't resolve module/action 'awx.awx." in said:
        pytest.skip("awx.awx does not stand beside this ansible-core; it does beside the pinned one")
    assert code != 0 and "Source Control" in said and "Create organizations" not in said, said
    assert [name for name in AWX if name not in said] == []


def test_every_list_of_awx_is_looked_at() -> None:
    """Those of vars/awx.yml that come later too."""
    said = yaml.safe_load((ROOT / "playbooks/vars/awx.yml").read_text(encoding="utf-8").replace("!unsafe", ""))
    known = {name for name in said if name.startswith("controller_")}
    text = (ROOT / "playbooks/awx_setup.yml").read_text(encoding="utf-8")
    unseen = {name for name in known if f"\n          {name}: " not in text}
    assert unseen == {"controller_credentials", "controller_survey_questions"}
