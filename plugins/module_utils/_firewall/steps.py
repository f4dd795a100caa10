# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done so that UFW is as the plan wants it: commands, in an order in which no service is shut in between."""

from __future__ import annotations

import typing as t

from dataclasses import dataclass

from . import rules
from .rules import Rule
from .state import State

# What "deny" is called in /etc/default/ufw. REJECT lets nobody in either.
_SHUT = ("DROP", "REJECT")
# What UFW's package sets, which is nobody's wish.
_PACKAGED_LOGGING = "low"


class Refused(Exception):
    """Something of others is in the way, and what is wanted cannot be had without touching it."""


@dataclass(frozen=True)
class Step:
    """A command of UFW, or C(ipv6) to turn on IPv6 in its settings, C(boot) to have it started with the host, C(start) to have systemd
    know it for started, C(reload) to load its files again.

    C(text) tells it to a person, C(risky) says that it could shut the controller out.
    """

    command: tuple[str, ...]
    text: str
    risky: bool = False


@dataclass(frozen=True)
class Steps:
    """All steps in their order, and what is worth knowing beside them."""

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def risky(self) -> bool:
        return any(step.risky for step in self.steps)


def wanted_rules(listed: t.Iterable[t.Mapping[str, t.Any]], ipv6: bool) -> list[Rule]:
    """The plan's rules as UFW has them. On a kernel without IPv6 there is nobody to let in by it."""
    made = [rules.make(item.get("port"), item.get("protocol"), source, item["comment"]) for item in listed for source in item["sources"]]
    return [rule for rule in made if ipv6 or rule.family == 4]


def plan(state: State, wanted: t.Sequence[Rule], logging: str) -> Steps:
    """The steps from a state to the wanted rules, which are all of ours that are to be. C(logging) is empty for the host's own level.

    What becomes of packets that go out is the host's own business.

    New rules come first, SSH's before all others, old ones go last. Rules of others are left alone: one that says the same as ours stands in
    for it, one that says otherwise about the same packets stays, and is reported.

    :raises Refused: where a rule of others shuts SSH, since then nobody would get in
    """
    missing, warnings = _missing(state, wanted)
    surplus = _surplus(state, wanted)
    steps: list[Step] = []
    # UFW takes no rule for IPv6 before this is on.
    turns_on_ipv6 = state.ipv6 and not state.ipv6_on
    if turns_on_ipv6:
        steps.append(Step(("ipv6",), "IPV6=yes in /etc/default/ufw", risky=True))
    if state.enabled and (turns_on_ipv6 or not state.loaded):
        # First of all: where its chains are missing, UFW can neither add nor delete.
        steps.append(Step(("reload",), "load the rules into the kernel, which does not have them as the files do", risky=True))
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
        steps.append(Step(("boot",), "ufw.service starts with the host"))
    if not state.enabled:
        steps.append(Step(("--force", "enable"), "enable", risky=True))
    if not state.active:
        # Without it `systemctl is-active ufw` says no until the next boot. The rules are loaded, so that starting it changes none of them.
        steps.append(Step(("start",), "ufw.service is started"))
    for rule in surplus:
        steps.append(Step(("delete", *rule.arguments(), "comment", rule.comment), f"- {rule}", risky=rule.is_ssh and live))
    return Steps(tuple(steps), tuple(warnings))


def _level(state: State) -> str:
    """How much is to be logged where nobody says: what the host has, but for a firewall that was never turned on and has what its package sets."""
    return "off" if not state.enabled and state.logging == _PACKAGED_LOGGING else state.logging


def removals(state: State, comments: t.Collection[str]) -> Steps:
    """The steps that take away our rules with these comments, and do nothing else."""
    gone = [rule for rule in state.rules if rule.is_ours and not rule.is_ssh and rule.comment in comments]
    return Steps(tuple(Step(("delete", *rule.arguments(), "comment", rule.comment), f"- {rule}") for rule in gone))


def _missing(state: State, wanted: t.Sequence[Rule]) -> tuple[list[Rule], list[str]]:
    """Rules to be written, and what rules of others keep from being written."""
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
                    f"the host has a firewall rule of its own, '{found}', that shuts SSH. It was not written by inferops.gpu, which leaves it alone; "
                    f"take it away: {found.deletion()}"
                )
            warnings.append(f"'{found}' is not ours and stays, so that {rule} is not let in")
    for rule in state.rules:
        if rule.comment.startswith(rules.OWNER) and rule.elsewhere:
            # Written by somebody who took our comment along, as `ufw allow in on eth0 …` does not.
            warnings.append(f"'{rule}' bears a comment of ours and is none of ours, so that it stays whatever becomes of the service; {rule.deletion()}")
    return missing, warnings


def _surplus(state: State, wanted: t.Sequence[Rule]) -> list[Rule]:
    """Rules of ours that are not wanted. One whose comment alone is another is written over by the new one, and so is not among them."""
    matches = {rule.match for rule in wanted}
    return [rule for rule in state.rules if rule.is_ours and rule.match not in matches]
