# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads C(playbooks/vars/awx.yml) as the playbook does, and what the modules of C(awx.awx) take from their own code."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "playbooks" / "vars" / "awx.yml"
SETUP = ROOT / "playbooks" / "awx_setup.yml"

# What a user would say with -e.
KEY_TEXT = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"


def read(key_file: Path) -> dict[str, Any]:
    """The variables, templates filled in; the private key stands in a file of the test."""
    key_file.write_text(KEY_TEXT, encoding="utf-8")
    loader = DataLoader()
    raw = loader.load_from_file(str(DATA), trusted_as_template=True)
    variables = {**raw, "awx_ssh_key_file": str(key_file)}
    # As AWX gets it: Ansible's own types are subclasses of Python's.
    return json.loads(json.dumps(Templar(loader=loader, variables=variables).template(variables)))


def tasks() -> list[dict[str, Any]]:
    """The tasks of C(awx_setup.yml)."""
    return yaml.safe_load(SETUP.read_text(encoding="utf-8"))[0]["tasks"]


def steps() -> list[tuple[str, str]]:
    """Module and list of each task that makes what a list says, in their order."""
    found = []
    for task in tasks():
        module = next((key.removeprefix("awx.awx.") for key in task if key.startswith("awx.awx.")), "")
        wanted = re.search(r"controller_\w+", task["loop"])
        # A project is updated, and nodes are made, from lists that another task has in full.
        if module not in ("", "project_update") and wanted and "combine" not in str(task.get("args")):
            found.append((module, wanted[0]))
    return found


class _Caught(Exception):
    """Carries what a module would have been made with."""


def validator(module: str) -> ArgumentSpecValidator:
    """Checks options as a module of C(awx.awx) itself does, by the specification in its code."""

    def catch(argument_spec: dict[str, Any], **rules: Any) -> None:
        raise _Caught(argument_spec, {name: rule for name, rule in rules.items() if name in ("mutually_exclusive", "required_if", "required_together")})

    code = importlib.import_module(f"ansible_collections.awx.awx.plugins.modules.{module}")
    with mock.patch.object(code, "ControllerAPIModule", catch):
        try:
            code.main()
        except _Caught as caught:
            specification, rules = caught.args
            return ArgumentSpecValidator(specification, **rules)
    raise AssertionError(f"awx.awx.{module} has made no module")
