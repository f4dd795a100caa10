#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_firewall
short_description: Configure UFW rules on a host, with automatic rollback
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Reads UFW's files and the rules in the kernel, and runs C(ufw) only for the differences.
  - Managed rules have a comment that starts with C(inferops:). The module deletes managed rules that are no longer wanted. It never changes, moves or
    adopts unmanaged rules.
  - Before its first change on a host, the module saves the state of UFW in C(<state_dir>/firewall/before-first-change).
  - A change that could lock out the controller (SSH rules, default policies, enabling UFW) has a rollback timeout. A systemd timer on the host rolls the
    change back, also after a reboot, unless M(inferops.gpu.firewall_confirm) confirms it over a new connection.
options:
  rules:
    description: All managed rules that the host should have.
    type: list
    elements: dict
    required: true
    suboptions:
      port:
        description: TCP or UDP port. By default, all ports.
        type: int
      protocol:
        description: V(tcp) or V(udp). By default, all protocols.
        type: str
      sources:
        description: Allowed sources, as networks or addresses. V(0.0.0.0/0) allows all of IPv4, V(::/0) all of IPv6.
        type: list
        elements: str
        required: true
      comment:
        description: Comment that marks the rule as managed. It has to start with C(inferops:).
        type: str
        required: true
  remove:
    description: Comments of managed rules to delete. With this option the module does nothing else and ignores O(rules).
    type: list
    elements: str
  logging:
    description:
      - UFW's log level. Empty keeps the host's level, but sets V(off) if UFW has never been enabled and still has the package's default level.
    type: str
    choices: ['', 'off', low, medium, high, full]
    default: ''
  rollback_timeout:
    description: Seconds after which the host rolls back an unconfirmed change.
    type: int
    default: 60
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Reports what would change, even if UFW is not installed yet.
  diff_mode:
    description: Shows the managed rules and UFW's settings before and after.
"""

EXAMPLES = r"""
- name: Allow SSH and one service
  inferops.gpu.host_firewall:
    rules:
      - {port: 22, protocol: tcp, sources: [0.0.0.0/0], comment: "inferops: ssh"}
      - {port: 8001, protocol: tcp, sources: [10.0.0.0/8], comment: "inferops: api qwen3"}
  register: applied

- name: Confirm the change over a new connection
  ansible.builtin.include_tasks: confirm.yml
  when: applied.unconfirmed
"""

RETURN = r"""
actions:
  description: What the module did, in this order.
  returned: success
  type: list
  elements: str
unconfirmed:
  description: Whether the host will roll back the change unless it is confirmed.
  returned: success
  type: bool
backup:
  description: Directory with the state of UFW from before the first change.
  returned: on the first change on a host
  type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._firewall import host, rules, ssh, state, steps
from ..module_utils._firewall.rollback import Rollback, write


# What UFW's unit runs when the host starts.
UFW_INIT = "/lib/ufw/ufw-init"


class Failed(Exception):
    """A command of UFW failed or had no effect."""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "rules": {
                "type": "list", "elements": "dict", "required": True,
                "options": {
                    "port": {"type": "int"},
                    "protocol": {"type": "str"},
                    "sources": {"type": "list", "elements": "str", "required": True},
                    "comment": {"type": "str", "required": True},
                },
            },
            "remove": {"type": "list", "elements": "str"},
            "logging": {"type": "str", "choices": ["", "off", "low", "medium", "high", "full"], "default": ""},
            "rollback_timeout": {"type": "int", "default": 60},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
        },
        supports_check_mode=True,
    )
    try:
        if module.check_mode:
            before = host.read_state(host.saved(), module.params["state_dir"])
            module.exit_json(**described(before, needed(before, module.params)), unconfirmed=False)
        change = Change(module)
        with change.rollback.locked():
            result = change.make()
    except (steps.Refused, rules.Unreadable, Failed, OSError, RuntimeError) as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("notes"):
        module.warn(warning)
    module.exit_json(**result)


def needed(before: state.State, options: t.Mapping[str, t.Any]) -> steps.Steps:
    """Return the steps from a state to the wanted rules."""
    if options["remove"] is not None:
        return steps.removals(before, options["remove"])
    wanted = steps.wanted_rules(options["rules"], before.ipv6)
    unmanaged = [rule.comment for rule in wanted if not rule.is_ours]
    if unmanaged:
        raise rules.Unreadable(f"the comment of a rule must begin with '{rules.OWNER}', but one is '{unmanaged[0]}'")
    return steps.plan(before, wanted, options["logging"])


def described(before: state.State, found: steps.Steps) -> dict[str, t.Any]:
    """Return the steps as the module's result."""
    ours = [str(rule) for rule in before.rules if rule.is_ours]
    told = [step.text for step in found.steps]
    gone = {text[2:] for text in told if text.startswith("- ")}
    kept = [line for line in ours if line not in gone]
    added = [text[2:] for text in told if text.startswith("+ ")]
    other = [text for text in told if not text.startswith(("+ ", "- "))]
    diff = {"before": "".join(f"{line}\n" for line in ours), "after": "".join(f"{line}\n" for line in [*kept, *added, *other])}
    return {"changed": bool(told), "actions": told, "diff": diff}


class Change:
    """A change of the firewall, made under the lock."""

    def __init__(self, module: AnsibleModule) -> None:
        self.rollback = Rollback(module.params["state_dir"])
        self._module = module
        self._options: t.Mapping[str, t.Any] = module.params
        self._armed = 0.0

    def make(self) -> dict[str, t.Any]:
        """Carry out the steps and check their effect. A change that an earlier run left unconfirmed still needs confirmation."""
        tables = host.saved()
        before = host.read_state(tables, self._options["state_dir"])
        found = needed(before, self._options)
        result = {**described(before, found), "notes": list(found.warnings)}
        if found.steps and not before.installed:
            raise Failed("UFW is not installed; run the role host, which installs it")
        if found.steps:
            place = self.rollback.back_up(tables)
            if place is not None:
                result["backup"] = place
        if found.risky or before.pending:
            self._refuse_blind_change()
            self._keep(before, tables)
        if before.pending:
            self._arm()
        self._do(found)
        if found.steps:
            self._check_effect()
        if self.rollback.is_pending():
            # The rollback timeout starts when all steps are done.
            self._arm()
        return {**result, "unconfirmed": self.rollback.is_pending()}

    def _refuse_blind_change(self) -> None:
        """Fail unless the SSH rules allow the port of the present connection."""
        connection = ssh.present_connection()
        if connection is None:
            return
        let_in = {rule["port"] for rule in self._options["rules"] if rule["comment"] == rules.SSH}
        if connection.port not in let_in:
            raise Failed(
                f"this connection uses port {connection.port}, which no rule allows ({rules.SSH}: {', '.join(map(str, sorted(let_in))) or 'none'}). "
                "Nothing was changed. Run the playbook again, which detects the SSH ports again."
            )

    def _keep(self, before: state.State, tables: t.Mapping[int, str]) -> None:
        connection = ssh.present_connection()
        policies = {"iptables": rules.policies(tables[4]), "ip6tables": rules.policies(tables[6])}
        at_work = before.enabled and rules.loaded(tables[4], 4) is not None
        self.rollback.keep_former(at_work, before.boot, policies, connection.client_port if connection is not None else 0)

    def _arm(self) -> None:
        self.rollback.arm(self._options["rollback_timeout"])
        self._armed = time.monotonic()

    def _do(self, found: steps.Steps) -> None:
        for step in found.steps:
            stale = time.monotonic() - self._armed > self._options["rollback_timeout"] / 4
            # Many steps together may take longer than the rollback timeout.
            if (step.risky or self._armed) and stale:
                self._arm()
            if step.command == ("ipv6",):
                turn_on_ipv6()
            elif step.command == ("reload",):
                reload(self._module)
            elif step.command == ("boot",):
                run(self._module, "systemctl", "enable", "--quiet", "ufw.service")
            elif step.command == ("start",):
                run(self._module, "systemctl", "start", "ufw.service")
            else:
                run(self._module, "ufw", *step.command)

    def _check_effect(self) -> None:
        """Fail if UFW's files and the kernel's tables still need steps."""
        after = host.read_state(host.saved(), self._options["state_dir"])
        left = needed(after, self._options)
        if left.steps:
            told = "; ".join(step.text for step in left.steps)
            back = f" The previous state is restored in {self._options['rollback_timeout']} s." if self.rollback.is_pending() else ""
            raise Failed(f"UFW reported no error, but these steps had no effect: {told}.{back}")


def turn_on_ipv6() -> None:
    """Turn on IPv6 in UFW's settings; UFW has no command for that."""
    path = host.FILES["default"]
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    kept = [line for line in lines if not line.startswith("IPV6=")]
    write(path, "\n".join([*kept, "IPV6=yes"]) + "\n", 0o644)


def reload(module: AnsibleModule) -> None:
    """Load the rules of the files into the kernel, even if somebody has flushed UFW's chains. UFW's own reload skips chains that nothing jumps to."""
    run(module, UFW_INIT, "force-stop")
    for family, saved in host.saved().items():
        text = rules.clearing(saved, family)
        if text:
            run(module, "iptables-restore" if family == 4 else "ip6tables-restore", "--noflush", given=text)
    run(module, UFW_INIT, "start")


def run(module: AnsibleModule, *command: str, given: str = "") -> None:
    """Run a command. Raises Failed with its message; UFW prints messages to either output.

    :param given: its standard input
    """
    status, printed, said = module.run_command(list(command), data=given)
    if status != 0:
        raise Failed(f"{' '.join(command)}: {(said + printed).strip()}")


if __name__ == "__main__":
    main()
