# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of C(inferops.gpu.run_report): collects what the roles have registered, and calls C(plugin_utils/run_report)."""

from __future__ import annotations

import os
import time

from typing import Any, Mapping

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.inferops.gpu.plugins.filter.results import run_result
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.definitions import names_in
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import contents, origin, page, store
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report.recorder import RECORD

_OPTIONS = {
    "folder": {"type": "str", "required": True}, "keep": {"type": "int", "default": 100}, "include_report": {"type": "bool", "default": False},
}
_DEFAULT_TAGS = ("all",)


class ActionModule(ActionBase):
    """Writes the report of the run so far. Connects to no host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        variables = task_vars or {}
        report = self._build(variables)
        result.update(changed=False, json="", html="")
        folder = store.user_path(arguments["folder"])
        try:
            result["json"], result["html"] = store.write(
                folder, store.base_name(report["run"]["ended"], report["run"]["limit"]), report, page.render(report), arguments["keep"],
            )
        except store.Unusable as error:
            # The hosts are deployed, and a failed task would say that they are not.
            result["warnings"] = [f"The report of this run was not written: {error}."]
        if arguments["include_report"]:
            result["report"] = report
        return result

    def _build(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        hostvars = variables["hostvars"]
        present = frozenset(variables.get("ansible_play_hosts") or ())
        names = [name for name in variables.get("ansible_play_hosts_all") or () if names_in(hostvars.raw_get(name))]
        hosts = [self._host(name, hostvars, name not in present) for name in names]
        planned = next((found for name in names for found in [hostvars.raw_get(name).get("__plan_result")] if isinstance(found, Mapping)), {})
        warnings = [_text(warning) for warning in planned.get("warnings") or ()]
        findings = contents.PlanFindings(list(planned.get("errors") or ()), warnings, list(planned.get("accepted") or ()))
        check_mode = bool(variables.get("ansible_check_mode"))
        results = run_result(names, {name: hostvars.raw_get(name) for name in names}, check_mode)
        return contents.build(_run(variables, check_mode), hosts, findings, results, RECORD, time.time())

    def _host(self, name: str, hostvars: Any, failed: bool) -> contents.HostRun:
        raw = hostvars.raw_get(name)
        parts = {
            key: value if isinstance(value, Mapping) else {} for key, value in (
                ("plan", raw.get("plan_host")), ("outcomes", raw.get("model_service_outcomes")), ("verified", raw.get("verify_result")),
                ("deployed", raw.get("run_report_deployed")), ("gate_errors", raw.get("__model_service_first_errors")),
            )
        }
        if "state" not in parts["deployed"]:
            # A skipped or failed task.
            parts["deployed"] = {}
        return contents.HostRun(name=name, address=address_of(name, hostvars), failed=failed, **parts)


def _text(warning: Any) -> str:
    """A warning of a registered result: text, or since ansible-core 2.19 an object with its event."""
    return str(getattr(getattr(warning, "event", None), "msg", warning))


def address_of(name: str, hostvars: Any) -> str:
    """The address at which Ansible reaches a host."""
    try:
        return str(hostvars[name].get("ansible_host") or name)
    except AnsibleError:
        # Ansible could not connect either.
        return name


def _run(variables: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    sources = [str(source) for source in variables.get("ansible_inventory_sources") or ()]
    folder = str(variables.get("playbook_dir") or "")
    return {
        "playbook": os.path.basename(RECORD.playbook) or "site.yml",
        "check_mode": check_mode,
        "limit": str(context.CLIARGS.get("subset") or ""),
        "tags": [tag for tag in variables.get("ansible_run_tags") or () if tag not in _DEFAULT_TAGS],
        "skip_tags": list(variables.get("ansible_skip_tags") or ()),
        "inventory": sources,
        "user": origin.user(),
        "controller": origin.controller(),
        "ansible": str((variables.get("ansible_version") or {}).get("full") or "unknown"),
        "collection": origin.version(),
        "commits": origin.commits([folder, *(source for source in sources if os.path.exists(source))]),
    }
