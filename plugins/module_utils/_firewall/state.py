# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What UFW's files say and what of it the kernel has, as a plain document: it travels from the host to the controller among the facts."""

from __future__ import annotations

import re
import typing as t

from dataclasses import dataclass, field

from . import rules
from .rules import Rule


# What the package brings: a bare host will have it once UFW is installed.
_AS_PACKAGED: dict[str, t.Any] = {"boot": True, "policies": {"INPUT": "DROP", "OUTPUT": "ACCEPT"}, "logging": "low"}


@dataclass(frozen=True)
class State:
    """C(policies) are those of /etc/default/ufw, C(loaded) whether the kernel has just the rules of the files.

    C(ipv6) is whether the kernel knows IPv6, C(ipv6_on) whether UFW is to see to it, C(boot) whether it is started with the host.
    C(active) is whether systemd has its unit for started. C(pending) is a change that nobody has confirmed, whose way back is armed.
    """

    installed: bool = False
    enabled: bool = False
    loaded: bool = False
    boot: bool = False
    ipv6: bool = True
    ipv6_on: bool = True
    policies: t.Mapping[str, str] = field(default_factory=dict)
    logging: str = ""
    rules: tuple[Rule, ...] = ()
    pending: bool = False
    active: bool = True

    def to_dict(self) -> dict[str, t.Any]:
        """The same as plain dictionaries and lists."""
        return {**vars(self), "policies": dict(self.policies), "rules": [vars(rule) for rule in self.rules]}

    @classmethod
    def of(cls, state: t.Mapping[str, t.Any]) -> State:
        """The state from its dictionary; a host of which nothing is known is a bare one."""
        known = {name: state[name] for name in cls.__dataclass_fields__ if name in state and name != "rules"}
        return cls(**known, rules=tuple(Rule(**rule) for rule in state.get("rules", ())))


def read(files: t.Mapping[str, str], saved: t.Mapping[int, str], ipv6: bool, boot: bool, pending: bool, active: bool = True) -> State:
    """The state, from texts.

    :param files: of C(ufw.conf), C(default) (/etc/default/ufw), C(user.rules) and C(user6.rules); empty where there is no such file
    :param saved: what iptables-save and ip6tables-save said, by family
    """
    if not files["ufw.conf"]:
        return State(ipv6=ipv6, **_AS_PACKAGED)
    settings = assignments(files["ufw.conf"])
    defaults = assignments(files["default"])
    ipv6_on = defaults.get("IPV6", "yes").lower() == "yes"
    found = {4: rules.parse(files["user.rules"], 4), 6: rules.parse(files["user6.rules"], 6)}
    families = [4, 6] if ipv6 and ipv6_on else [4]
    texts = {4: files["user.rules"], 6: files["user6.rules"]}
    policies = {chain: defaults.get(f"DEFAULT_{chain}_POLICY", "") for chain in ("INPUT", "OUTPUT")}
    return State(
        installed=True,
        enabled=settings.get("ENABLED", "").lower() == "yes",
        loaded=all(_is_loaded(texts[family], found[family], saved[family], family, policies) for family in families),
        boot=boot,
        active=active,
        ipv6=ipv6,
        ipv6_on=ipv6_on,
        policies=policies,
        logging=settings.get("LOGLEVEL", "").lower(),
        rules=tuple(found[4] + found[6]),
        pending=pending,
    )


def _is_loaded(text: str, found: t.Iterable[Rule], saved: str, family: int, policies: t.Mapping[str, str]) -> bool:
    """Whether the kernel has as many rules as the file, ours among them, behind the policies of the settings."""
    lines = rules.loaded(saved, family)
    # UFW carries "reject" out by a rule of its own before a policy of DROP.
    wanted = {chain: "DROP" if policy == "REJECT" else policy for chain, policy in policies.items()}
    there = rules.policies(saved)
    return (
        lines is not None
        and len(lines) == rules.expected_lines(text, family)
        and all(there.get(chain) == policy for chain, policy in wanted.items())
        and all(rules.is_loaded(rule, lines) for rule in found if rule.is_ours and rule.does == "allow")
    )


def assignments(text: str) -> dict[str, str]:
    """NAME=value lines of a shell file, quotes taken off; of two with one name the last."""
    return dict(re.findall(r"""^\s*([A-Z_0-9]+)=["']?([^"'\n]*?)["']?\s*(?:#.*)?$""", text, flags=re.MULTILINE))
