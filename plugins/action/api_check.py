# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check services: on the controller inside the task's process, on hosts with the module. Documented in plugins/modules/api_check.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.inferops.gpu.plugins.module_utils import _api_check


class ActionModule(ActionBase):
    """On the controller a module would take longer to build and to start than the services take to answer."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        # For another user, or another machine, run the module.
        if self._connection.transport != "local" or self._play_context.become:
            return self._execute_module(module_args=self._task.args, task_vars=task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=_api_check.OPTIONS)
        result.update(_api_check.check(arguments))
        return result
