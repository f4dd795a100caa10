# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: monitoring_shipped
short_description: Return the alert rules and dashboards of the collection
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Returns the files of the role monitoring, and the rules that follow from the objectives of the services.
options:
  _terms:
    description: Hosts of the plan by name, and the name of the monitoring host.
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
files: "{{ lookup('inferops.gpu.monitoring_shipped', __plan_result.hosts, 'mon1') }}"
"""

RETURN = r"""
_raw:
  description: Text of each file by its path.
  type: list
  elements: dict
"""

import typing as t

from pathlib import Path

from ansible.plugins.lookup import LookupBase
from ansible_collections.inferops.gpu.plugins.plugin_utils.monitoring import shipped

ROLE = Path(__file__).resolve().parents[2] / "roles" / "monitoring" / "files"


class LookupModule(LookupBase):
    """Reads the role's files on the controller."""

    def run(self, terms: list[t.Any], variables: t.Any = None, **kwargs: t.Any) -> list[dict[str, str]]:
        plans, monitor = terms
        return [shipped.read(ROLE, plans, monitor)]
