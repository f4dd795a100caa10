#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: diagnosis_report
short_description: Report a verdict for each host and service of a run
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Judges the facts of all hosts of the play and the findings of M(inferops.gpu.host_diagnosis), and compares hosts with each other.
  - Runs on the controller and contacts the hosts only at the ports of their services, to see whether these are reachable.
  - Needs no valid plan. Errors of the plan are findings.
options:
  facts:
    description: Name of the variable with the result of M(inferops.gpu.host_facts) on each host.
    type: str
    default: __plan_facts
  found:
    description: Name of the variable with the result of M(inferops.gpu.host_diagnosis) on each host.
    type: str
    required: true
  plan:
    description: Result of M(inferops.gpu.plan), which may have failed.
    type: dict
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
seealso:
  - module: inferops.gpu.host_diagnosis
"""

EXAMPLES = r"""
- name: Report the verdicts
  inferops.gpu.diagnosis_report:
    found: doctor_found
    plan: "{{ doctor_plan }}"
  register: doctor
  run_once: true

- name: Show them
  ansible.builtin.debug:
    msg: "{{ doctor.lines }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description:
    - By host its C(verdict) (V(well), V(warning) or V(error)), the C(services) with C(verdict) and C(status), the C(findings), and what is C(unknown) with
      the reason.
    - A finding has C(check) (a stable name), C(level), C(service) (null for the host), C(cause), C(command) (the command to run next) and C(detail).
  returned: success
  type: dict
lines:
  description: The same as text, one line each.
  returned: success
  type: list
  elements: str
errors:
  description: Number of findings with the level V(error).
  returned: success
  type: int
time:
  description: Time of the report in UTC.
  returned: success
  type: str
"""
