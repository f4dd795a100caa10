# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of C(inferops.gpu.drift): finds the report of each host, and compares it with the host's present state."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.inferops.gpu.plugins.action.run_report import address_of
from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import compare, store

_OPTIONS = {
    "folder": {"type": "str", "required": True}, "report": {"type": "str", "default": ""}, "hosts": {"type": "list", "elements": "str", "required": True},
}


class ActionModule(ActionBase):
    """Compares. Connects to no host and changes nothing."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(argument_spec=_OPTIONS)
        hostvars = (task_vars or {})["hostvars"]
        hosts = {name: address_of(name, hostvars) for name in arguments["hosts"]}
        folder, named = (store.user_path(arguments[key]) for key in ("folder", "report"))
        try:
            reports = [(named, store.load(named))] if named else store.newest_first(folder)
            found = store.of_hosts(reports, hosts)
        except store.Unusable as error:
            raise AnsibleActionFail(f"{error}.") from None
        missing = [name for name in hosts if name not in found]
        if missing:
            raise AnsibleActionFail(_missing(missing, hosts, named or folder, bool(named)))
        compared = []
        for name, (path, report) in found.items():
            deployed = hostvars.raw_get(name).get("run_report_deployed")
            now = deployed if isinstance(deployed, Mapping) and "state" in deployed else {"unread": {"state": "the host could not be read"}}
            compared.append(compare.compare(name, path, report["run"], report["hosts"][name], now))
        result.update(
            changed=False,
            lines=compare.lines(compared),
            differs=[one.host for one in compared if one.differences],
            unread=[one.host for one in compared if one.unread],
            hosts={one.host: one.to_dict() for one in compared},
        )
        return result


def _missing(names: list[str], hosts: Mapping[str, str], place: str, is_file: bool) -> str:
    few = 5
    where = ", ".join(f"{name} ({hosts[name]})" if hosts[name] != name else name for name in names[:few])
    more = f" and {len(names) - few} more" if len(names) > few else ""
    fix = "name a report of these hosts in drift_report" if is_file else "run site.yml, which leaves one, or name the folder in run_report_dir"
    return f"{place} has no report with the state of {where}{more}, so there is nothing to compare with. Fix: {fix}."
