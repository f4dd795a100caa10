# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the module host_diagnosis on the host, between two readings of the controller's clock. Documented in plugins/modules/host_diagnosis.py."""

from __future__ import annotations

import time

from typing import Any

from ..plugin_utils.read_host import ReadHost


class ActionModule(ReadHost):
    """The host's times lie between these two, unless its clock differs."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        before = time.time()
        result = super().run(tmp, task_vars)
        result["controller"] = {"before": before, "after": time.time()}
        return result
