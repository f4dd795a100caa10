#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: drift
short_description: Compare hosts with the last report of each of them
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Compares the state that a report of C(site.yml) contains with the present one, which M(inferops.gpu.deployed_state) has read. C(playbooks/drift.yml)
    calls both.
  - The report of a host is the newest one in O(folder) that contains the state of a host with this name and address.
  - Runs on the controller, connects to no host and changes nothing. A host without a report is an error.
options:
  folder:
    description: Folder on the controller with the reports.
    type: str
    required: true
  report:
    description: JSON file of the report to compare with, instead of the newest one of each host.
    type: str
    default: ""
  hosts:
    description: Names of the hosts to compare.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
attributes:
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: inferops.gpu.deployed_state
  - module: inferops.gpu.run_report
"""

EXAMPLES = r"""
- name: Compare the hosts with their last reports
  inferops.gpu.drift:
    folder: /srv/reports
    hosts: "{{ ansible_play_hosts }}"
  register: drift
  run_once: true
"""

RETURN = r"""
lines:
  description: The comparison as lines of text.
  returned: success
  type: list
  elements: str
differs:
  description: Names of the hosts that differ from their report.
  returned: success
  type: list
  elements: str
unread:
  description: Names of the hosts of which a part could not be compared.
  returned: success
  type: list
  elements: str
hosts:
  description: >-
    By host, the path of the C(report), its time (C(since)), the C(result) of the host in it, C(differences) with C(part), C(item), C(was) and C(now), and
    C(unread), the parts that were not compared, each with the reason.
  returned: success
  type: dict
"""
