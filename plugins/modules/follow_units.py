#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: follow_units
short_description: Wait until one of several systemd units of a host has finished
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Like M(inferops.gpu.follow_unit), for several units that start side by side. The task ends as soon as one of them has finished or failed, so that a
    failed one can be handled while the others still start. Call it again for RV(waiting).
  - When a unit has failed on one host, or has finished there before the others of that host, the task ends on all hosts that run it. Otherwise that host
    would have to wait for them.
  - A failed unit does not fail the task.
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the unit in the results.
        type: str
        required: true
      unit:
        description: Name of the unit.
        type: str
        required: true
      label:
        description: Short description of the work, for progress lines and error messages.
        type: str
        required: true
      timeout:
        description: Seconds after which the unit counts as failed, O(units[].seconds) included. It keeps running.
        type: int
        default: 3600
      seconds:
        description: Seconds that earlier calls have followed the unit.
        type: float
        default: 0
      restarts:
        description: Number of automatic restarts of the unit when following it began, as an earlier call has returned it. Negative if unknown.
        type: int
        default: -1
  lines:
    description: Number of journal lines to show for a unit that fails.
    type: int
    default: 30
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  action:
    description: Runs on the controller and calls M(inferops.gpu.unit_status) on the host.
    support: full
  check_mode:
    description: The task is skipped in check mode, since no unit was started.
    support: none
seealso:
  - module: inferops.gpu.follow_unit
"""

EXAMPLES = r"""
- name: Wait until one of two services has started
  inferops.gpu.follow_units:
    units:
      - {name: chat, unit: vllm-chat.service, label: Start of chat}
      - {name: embed, unit: vllm-embed.service, label: Start of embed}
"""

RETURN = r"""
results:
  description: >-
    Units that have finished or failed, on this host; empty if the task has ended because of another host. Each has C(item), which is its entry of
    O(units), and the return values of M(inferops.gpu.follow_unit) with O(inferops.gpu.follow_unit#module:fail=false).
  returned: always
  type: list
  elements: dict
waiting:
  description: Entries of O(units) that have not finished, with C(seconds) and C(restarts) for the next call.
  returned: always
  type: list
  elements: dict
"""
