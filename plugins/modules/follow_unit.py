#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: follow_unit
short_description: Wait for a systemd unit to finish and print its progress
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Long work (a build, a download, the start of an engine) runs on the host as a systemd unit that does not depend on the play.
    This action follows such a unit and prints its progress. If the unit fails, the task fails with the program's own error message and the end of
    the unit's journal.
  - The action polls the unit in short calls, so a lost SSH connection costs only one call. If the play is killed, the unit keeps running, and the
    next run follows it again.
  - The action prints a line per host every 30 seconds. With more than three hosts, the hosts take turns, and one line is printed every 10 seconds.
options:
  unit:
    description: Name of the unit.
    type: str
    required: true
  label:
    description: Short description of the work, for progress lines and error messages.
    type: str
    required: true
  status_file:
    description:
      - JSON file on the host to which the unit's program writes its progress.
      - Its keys are C(text) (the progress as text) and, after a failure, C(error) and C(fix).
    type: path
  timeout:
    description: Seconds until the task fails if the unit has not finished. The unit keeps running.
    type: int
    default: 3600
  rejoin:
    description: Whether to continue when systemd restarts the unit automatically. With V(false), such a restart counts as a failure.
    type: bool
    default: false
  lines:
    description: Number of journal lines to show when the unit fails.
    type: int
    default: 30
  together:
    description:
      - Name of a group of units that the same task follows on several hosts, such as a multi-node service.
      - When one unit of the group fails, the task stops following the others and reports the first failure, since the others would wait for that unit.
    type: str
  fail:
    description: Whether the task fails when the unit fails. With V(false), read RV(error) instead.
    type: bool
    default: true
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
  - module: inferops.gpu.unit_status
"""

EXAMPLES = r"""
- name: Wait for the download
  inferops.gpu.follow_unit:
    unit: inferops-weights-example.service
    label: Download of example/model
    timeout: 86400
"""

RETURN = r"""
seconds:
  description: Seconds that the task followed the unit.
  returned: always
  type: float
state:
  description: Last C(ActiveState) of the unit.
  returned: when the unit has ended well
  type: str
status:
  description: Last status text that the unit's program sent to systemd (C(StatusText)).
  returned: when the unit has ended well
  type: str
progress:
  description: Last content of the status file.
  returned: when the unit has ended well
  type: dict
error:
  description: Why the unit failed.
  returned: when the unit failed and O(fail) is V(false)
  type: str
"""
