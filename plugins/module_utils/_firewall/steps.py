# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from UFW's state to the one that the plan wants: commands, in an order that blocks no service in between."""

from __future__ import annotations

import typing as t

from dataclasses import dataclass

from . import rules
from .rules import Rule
from .state import State

# The name of "deny" in /etc/default/ufw. REJECT blocks as well.
_SHUT = ("DROP", "REJECT")
# The package's default, which no administrator has chosen.
_PACKAGED_LOGGING = "low"


class Refused(Exception):
    """An unmanaged rule prevents the wanted state, and it must not be changed."""


@dataclass(frozen=True)
class Step:
    """A command of UFW, or C(ipv6) to turn on IPv6 in its settings, C(boot) to enable its unit, C(start) to start its unit, C(reload) to load
    its files again.

    C(text) describes it for a person, C(risky) means that it could lock the controller out.
    """

    command: tuple[str, ...]
    text: str
    risky: bool = False


@dataclass(frozen=True)
class Steps:
    """All steps in their order, with warnings."""

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def risky(self) -> bool:
        return any(step.risky for step in self.steps)


def wanted_rules(listed: t.Iterable[t.Mapping[str, t.Any]], ipv6: bool) -> list[Rule]:
    """Return the plan's rules in UFW's form. On a kernel without IPv6, IPv6 rules are omitted."""
    made = [rules.make(item.get("port"), item.get("protocol"), source, item["comment"]) for item in listed for source in item["sources"]]
    return [rule for rule in made if ipv6 or rule.family == 4]


def plan(state: State, wanted: t.Sequence[Rule], logging: str) -> Steps:
    """Return the steps from a state to the wanted rules, the complete list of managed rules. C(logging) is empty to keep the host's level.

    Outgoing packets are not managed.

    New rules are added first, the SSH rules before all others; old rules are removed last. Unmanaged rules are left alone: one that equals
    a wanted rule replaces it; one that blocks the same packets stays, with a warning.

    :raises Refused: when an unmanaged rule blocks SSH, since this would lock everybody out
    """
    missing, warnings = _missing(state, wanted)
    surplus = _surplus(state, wanted)
    steps: list[Step] = []
    # UFW accepts no IPv6 rules before this is turned on.
    turns_on_ipv6 = state.ipv6 and not state.ipv6_on
    if turns_on_ipv6:
        steps.append(Step(("ipv6",), "IPV6=yes in /etc/default/ufw", risky=True))
    if state.enabled and (turns_on_ipv6 or not state.loaded):
        # First of all: without its chains UFW can neither add nor delete rules.
        steps.append(Step(("reload",), "load the rules into the kernel, because it does not have the rules of the files", risky=True))
    live = state.enabled and state.loaded
    for rule in sorted(missing, key=lambda rule: not rule.is_ssh):
        steps.append(Step((*rule.arguments(), "comment", rule.comment), f"+ {rule}", risky=rule.is_ssh and live))
    settings = []
    if state.policies.get("INPUT") not in _SHUT:
        settings.append(Step(("default", "deny", "incoming"), "default: deny incoming", risky=True))
    level = logging or _level(state)
    if state.logging != level:
        settings.append(Step(("logging", level), f"logging {level}"))
    steps += settings
    if not state.boot:
        steps.append(Step(("boot",), "ufw.service starts at boot"))
    if not state.enabled:
        steps.append(Step(("--force", "enable"), "enable", risky=True))
    if not state.active:
        # Otherwise `systemctl is-active ufw` fails until the next boot. The rules are loaded, so starting the unit changes none of them.
        steps.append(Step(("start",), "ufw.service is started"))
    for rule in surplus:
        steps.append(Step(("delete", *rule.arguments(), "comment", rule.comment), f"- {rule}", risky=rule.is_ssh and live))
    return Steps(tuple(steps), tuple(warnings))


def _level(state: State) -> str:
    """The log level when none is set: the host's own, or off for a firewall that was never enabled and has the package's default."""
    return "off" if not state.enabled and state.logging == _PACKAGED_LOGGING else state.logging


def removals(state: State, comments: t.Collection[str]) -> Steps:
    """Return the steps that remove the managed rules with these comments, and nothing else."""
    gone = [rule for rule in state.rules if rule.is_ours and not rule.is_ssh and rule.comment in comments]
    return Steps(tuple(Step(("delete", *rule.arguments(), "comment", rule.comment), f"- {rule}") for rule in gone))


def _missing(state: State, wanted: t.Sequence[Rule]) -> tuple[list[Rule], list[str]]:
    """Return the rules to add, and warnings about unmanaged rules that prevent others."""
    there = {rule.match: rule for rule in state.rules}
    missing: list[Rule] = []
    warnings: list[str] = []
    for rule in wanted:
        found = there.get(rule.match)
        if found is None or (found.is_ours and (found.comment, found.does) != (rule.comment, rule.does)):
            missing.append(rule)
        elif not found.is_ours and not found.lets_in:
            if rule.is_ssh:
                raise Refused(
                    f"the host has a firewall rule '{found}' that blocks SSH. It was not written by inferops.gpu, which does not change it; "
                    f"remove it: {found.deletion()}"
                )
            warnings.append(f"'{found}' is not managed by inferops.gpu and stays; it prevents the rule '{rule}'")
    for rule in state.rules:
        if rule.comment.startswith(rules.OWNER) and rule.elsewhere:
            # Somebody has written this rule with the comment of a managed one.
            warnings.append(f"'{rule}' has a comment of inferops.gpu but is not managed by it, so it stays when the service is removed; {rule.deletion()}")
    return missing, warnings


def _surplus(state: State, wanted: t.Sequence[Rule]) -> list[Rule]:
    """Return the managed rules that are not wanted. A rule that differs only in its comment is not among them: the new one overwrites it."""
    matches = {rule.match for rule in wanted}
    return [rule for rule in state.rules if rule.is_ours and rule.match not in matches]
