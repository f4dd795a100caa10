# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the doctor's report from what the play's hosts have registered. Documented in plugins/modules/diagnosis_report.py."""

from __future__ import annotations

import datetime

from typing import Any, Mapping

from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked
from ansible_collections.inferops.gpu.plugins.plugin_utils import role_options
from ansible_collections.inferops.gpu.plugins.plugin_utils.diagnosis import report
from ansible_collections.inferops.gpu.plugins.plugin_utils.diagnosis.host import Host
from ansible_collections.inferops.gpu.plugins.plugin_utils.native import native
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import definitions
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.advisories import Advisories

_ADVISORIES = role_options.ROLES / "plan" / "files" / "advisories.yml"


class ActionModule(ActionBase):
    """Reads hostvars. Changes nothing."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, given = self.validate_argument_spec(argument_spec={
            "facts": {"type": "str", "default": "__plan_facts"}, "found": {"type": "str", "required": True}, "plan": {"type": "dict", "required": True},
        })
        plan = given["plan"]
        hosts = [
            _host(name, variables["hostvars"].raw_get(name), given["facts"], given["found"], plan.get("hosts") or {})
            for name in variables.get("ansible_play_hosts_all", ()) if definitions.names_in(variables["hostvars"].raw_get(name))
        ]
        advisories = Advisories(yaml_load(_ADVISORIES.read_text(encoding="utf-8")))
        errors = plan.get("errors") or []
        message = masked(str(plan.get("msg", "")).strip().partition("\n")[0]) if plan.get("failed") or "hosts" not in plan else ""
        found = report.report(hosts, errors, message, advisories)
        result.update(
            changed=False, hosts=found, lines=report.lines(found), time=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            errors=sum(item["level"] == "error" for host in found.values() for item in host["findings"]),
        )
        return result


def _host(name: str, variables: Mapping[str, Any], facts: str, found: str, plans: Mapping[str, Any]) -> Host:
    """A host from its registered results. A task that failed there, or that could not reach it, has registered that too."""
    results = {"host_facts": native(variables.get(facts) or {}), "host_diagnosis": native(variables.get(found) or {})}
    broken = {task: one for task, one in results.items() if one.get("failed") and not one.get("unreachable")}
    failed = {task: masked(str(one.get("msg") or "no message").strip().splitlines()[-1]) for task, one in broken.items()}
    unreachable = next((masked(str(one.get("msg") or "no message").strip()) for one in results.values() if one.get("unreachable")), "")
    return Host(name, unreachable, failed, results["host_facts"].get("host") or {}, results["host_diagnosis"], native(plans.get(name) or {}))
