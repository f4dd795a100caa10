#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: run_report
short_description: Write the report of a run as JSON and as a page
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Writes one JSON file and one HTML page about the run so far, with mode 0600, on the controller. The role P(inferops.gpu.run_report#role) calls it at
    the end of C(site.yml), once for all hosts.
  - Reads what the roles have registered for each host, failed hosts included, and what the callback P(inferops.gpu.run_record#callback) has recorded.
  - Connects to no host, and never reports a change. If the files cannot be written, the task warns and does not fail, since the hosts are deployed.
  - The report contains no secrets.
options:
  folder:
    description: Folder on the controller. It is created with mode 0700.
    type: str
    required: true
  keep:
    description: Number of reports that stay in the folder. V(0) keeps all.
    type: int
    default: 100
  include_report:
    description: Whether the result contains the report.
    type: bool
    default: false
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
attributes:
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: inferops.gpu.drift
  - plugin: inferops.gpu.run_record
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Write the report
  inferops.gpu.run_report:
    folder: /srv/reports
  run_once: true
"""

RETURN = r"""
json:
  description: Path of the JSON file. Empty if it was not written.
  returned: always
  type: str
html:
  description: Path of the page. Empty if it was not written.
  returned: always
  type: str
report:
  description: The contents of the JSON file.
  returned: with O(include_report)
  type: dict
"""
