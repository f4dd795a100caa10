# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Work out what every host of the inventory serves, or report every error at once
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Takes every host of the inventory for which C(model_services) is defined, lays its variables over the roles' defaults and its services
    over the model catalogue, and works out arguments, paths, ports, GPUs, releases and weights. The roles only read what it resolved.
  - All hosts are planned, whatever the limit of the run, so that what does not fit together is found wherever it stands.
  - Facts of a host are taken from C(__plan_facts), which the role C(inferops.gpu.plan) registers with M(inferops.gpu.host_facts).
    Without them the checks that need them are left out.
  - A service over several hosts (its key C(distributed)) is put together from all hosts that have it, and refused when a run reaches only
    some of them.
  - Runs on the controller, opens no connection and changes nothing.
  - Secrets (C(api_key), C(secret_environment)) are looked at for their type and are in no part of the result.
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes nothing, so it runs the same in check mode.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: inferops.gpu.host_facts
"""

EXAMPLES = r"""
- name: Plan the whole inventory, or stop with every error in it
  inferops.gpu.plan:
  register: planned
  run_once: true
  any_errors_fatal: true

- name: Plan it to look at it
  inferops.gpu.plan:
  register: planned
  run_once: true

- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ planned.summary | join('\n') }}"
  run_once: true
"""

RETURN = r"""
hosts:
  description: The resolved plan of each host by its inventory name; empty when there are errors. README of the role C(plan) describes it in full.
  returned: always
  type: dict
  contains:
    host:
      description: Name in the inventory.
      type: str
    account:
      description: C(user), C(group) and C(home) that services run under.
      type: dict
    paths:
      description: Directories C(config), C(install), C(releases), C(models), C(state) and C(cache).
      type: dict
    packages:
      description: OS packages that the roles need beyond C(host_packages).
      type: list
      elements: str
    releases:
      description: The vLLM releases that the services run on, each once.
      type: list
      elements: dict
    weights:
      description: The weights that the services serve, each once.
      type: list
      elements: dict
    services:
      description: The services, those to be removed last.
      type: list
      elements: dict
errors:
  description: Everything that is wrong in the inventory.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: Name in the inventory.
      type: str
    service:
      description: Name of the service, or empty when the error is not one of a service.
      type: str
    key:
      description: The key or variable that holds the value.
      type: str
    value:
      description: The value, or V((hidden\)) where it may be a secret.
      type: str
    why:
      description: What is wrong with it.
      type: str
    fix:
      description: What to write instead.
      type: str
    rule:
      description: The name by which it can be accepted in C(plan_accept); empty when it cannot.
      type: str
warnings:
  description: What is worth knowing and does not stop the plan.
  returned: always
  type: list
  elements: str
summary:
  description: >-
    The plan of the hosts of this play as a table, the pipeline stages of services that have them, and the command of each service, as lines
    of text.
  returned: always
  type: list
  elements: str
"""
