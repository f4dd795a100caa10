# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person launches: the templates and the credential of playbooks/vars/awx.yml, and a form that was sent off as it came."""

from __future__ import annotations

from typing import Any

import yaml
from awx_jobs import Job
from jinja2 import Template
from lab import GROUP, ROOT


class Loader(yaml.SafeLoader):
    """Reads C(!unsafe) as text."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))

SETUP: dict[str, Any] = yaml.load((ROOT / "playbooks" / "vars" / "awx.yml").read_text(encoding="utf-8"), Loader)
TEMPLATES: dict[str, dict[str, Any]] = {template["name"]: template for template in SETUP["controller_templates"]}
INJECTED: dict[str, str] = SETUP["controller_credential_types"][0]["injectors"]["extra_vars"]

VARIABLES = ROOT / "molecule" / "default" / "inventory" / "group_vars" / f"{GROUP}.yml"
SERVICE: dict[str, Any] = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["model_services"][0]

# The key is the one that the scenario's inventory has, so that the steps that follow find nothing to do.
INPUTS = {"weights_token": "hf_labTokenOf8f31c2", "api_key": SERVICE["api_key"]}
SECRETS = [*INPUTS.values(), *SERVICE["secret_environment"].values()]

# Every answer is what the inventory says; some are left empty.
ANSWERS = {
    "plan_service_name": "",
    "plan_service_model": SERVICE["model"],
    "plan_service_vllm_version": "",
    "plan_service_port": SERVICE["port"],
    "plan_service_gpus": [str(gpu) for gpu in SERVICE["gpus"]],
    "plan_service_max_model_len": SERVICE["vllm_args"]["max_model_len"],
    "model_service_restart": "yes",
}


def launch(name: str, **answers: Any) -> Job:
    """A job of a template for the group of the lab, with some answers of its form; AWX takes no others than those that it asks for."""
    template = TEMPLATES[name]
    asked = [question["variable"] for question in template["survey_spec"]["spec"]] if template["survey_enabled"] else []
    given = {variable: value for variable, value in {**ANSWERS, **answers}.items() if variable in asked}
    assert set(answers) <= set(given), f"{name} does not ask for {set(answers) - set(given)}"
    brought = {variable: Template(text).render(**INPUTS) for variable, text in INJECTED.items()} if "inferops secrets" in template["credentials"] else {}
    return Job(template["playbook"], limit=GROUP, extra_vars=given, credential_extra_vars=brought)


def deploy(**answers: Any) -> Job:
    """A job of the template that deploys."""
    return launch("inferops deploy", **answers)
