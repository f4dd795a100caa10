# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person sends off from a template's form, and the credential that goes with it."""

from __future__ import annotations

from typing import Any

import yaml
from awx_jobs import Job
from lab import GROUP, ROOT

VARIABLES = ROOT / "molecule" / "default" / "inventory" / "group_vars" / f"{GROUP}.yml"
SERVICE: dict[str, Any] = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["model_services"][0]

# What a credential brings; the key is the one that the scenario's inventory has, so that the steps that follow find nothing to do.
CREDENTIAL = {"weights_credential_token": "hf_labTokenOf8f31c2", "model_service_credential_api_key": SERVICE["api_key"]}
SECRETS = [*CREDENTIAL.values(), *SERVICE["secret_environment"].values()]

# A form that was sent off as it came: every answer is what the inventory says, as text or number, and what was left empty is empty.
SURVEY = {
    "plan_service_model": SERVICE["model"],
    "plan_service_port": SERVICE["port"],
    "plan_service_gpus": ",".join(map(str, SERVICE["gpus"])),
    "plan_service_max_model_len": SERVICE["vllm_args"]["max_model_len"],
    "plan_service_vllm_version": "",
}


def deploy(**answers: Any) -> Job:
    """A job of the template that deploys, with some answers of its form."""
    return Job("site.yml", limit=GROUP, extra_vars={**SURVEY, **answers}, credential_extra_vars=CREDENTIAL)
