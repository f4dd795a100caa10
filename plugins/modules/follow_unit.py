#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: follow_unit
short_description: Follow a systemd unit until it has ended, telling how far it is
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Long work (a build, a download, an engine's start) runs on the host as a systemd unit of its own and does not depend on the play.
    This action joins such a unit, prints its progress, and fails with the program's own message and the end of its journal.
  - It asks again and again in short calls, so that a lost SSH connection costs one call. When the play is killed, the work goes on;
    the next run joins it again.
  - It prints a line every half minute. Hosts that are followed side by side take turns when they are more than three, so that there is a line
    every ten seconds.
options:
  unit:
    description: Name of the unit.
    type: str
    required: true
  label:
    description: What the work is, for people.
    type: str
    required: true
  status_file:
    description:
      - JSON file on the host in which the unit's program says how far it is.
      - Its keys are C(text) (progress, for people), and after a failure C(error) and C(fix).
    type: path
  timeout:
    description: Seconds after which following ends. The unit is not stopped.
    type: int
    default: 3600
  rejoin:
    description: Whether a unit that systemd starts again by itself is followed on; otherwise it has failed.
    type: bool
    default: false
  lines:
    description: Journal lines to show of a unit that failed.
    type: int
    default: 30
  together:
    description:
      - Name of what the units that one task follows on several hosts are parts of.
      - When one of them fails, following the others ends as well, with the first one's reason, since they would wait for it.
    type: str
  fail:
    description: Whether a unit that did not end well fails the task. With V(false) RV(error) tells of it.
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
    description: Skipped in check mode, since nothing was started.
    support: none
seealso:
  - module: inferops.gpu.unit_status
"""

EXAMPLES = r"""
- name: Join the download
  inferops.gpu.follow_unit:
    unit: inferops-weights-example.service
    label: Download of example/model
    timeout: 86400
"""

RETURN = r"""
seconds:
  description: How long it was followed, in seconds.
  returned: always
  type: float
state:
  description: ActiveState of the unit at the end.
  returned: when the unit has ended well
  type: str
status:
  description: What the unit's program told systemd of itself at the end.
  returned: when the unit has ended well
  type: str
progress:
  description: Last content of the status file.
  returned: when the unit has ended well
  type: dict
error:
  description: Why the unit did not end well.
  returned: when it did not and O(fail) is V(false)
  type: str
"""
