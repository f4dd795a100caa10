# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UFW's state from its files and from the kernel, as plain data that the facts carry from the host to the controller."""

from __future__ import annotations

import re
import typing as t

from dataclasses import dataclass, field

from . import rules
from .rules import Rule


# The package's defaults: a bare host has these after the installation of UFW.
_AS_PACKAGED: dict[str, t.Any] = {"boot": True, "policies": {"INPUT": "DROP", "OUTPUT": "ACCEPT"}, "logging": "low"}


@dataclass(frozen=True)
class State:
    """C(policies) are those of /etc/default/ufw, C(loaded) is whether the kernel has exactly the rules of the files.

    C(ipv6) is whether the kernel supports IPv6, C(ipv6_on) whether UFW manages IPv6, C(boot) whether UFW starts at boot.
    C(active) is whether systemd regards its unit as started. C(pending) is whether a change is unconfirmed and its rollback timer runs.
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
        """Return the state as plain dictionaries and lists."""
        return {**vars(self), "policies": dict(self.policies), "rules": [vars(rule) for rule in self.rules]}

    @classmethod
    def of(cls, state: t.Mapping[str, t.Any]) -> State:
        """Return the state from its dictionary; an unknown host counts as a bare one."""
        known = {name: state[name] for name in cls.__dataclass_fields__ if name in state and name != "rules"}
        return cls(**known, rules=tuple(Rule(**rule) for rule in state.get("rules", ())))


def read(files: t.Mapping[str, str], saved: t.Mapping[int, str], ipv6: bool, boot: bool, pending: bool, active: bool = True) -> State:
    """Return the state, from texts.

    :param files: texts of C(ufw.conf), C(default) (/etc/default/ufw), C(user.rules) and C(user6.rules); empty for missing files
    :param saved: output of iptables-save and ip6tables-save by family
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
    """Whether the kernel has as many rules as the file, the managed ones among them, and the policies of the settings."""
    lines = rules.loaded(saved, family)
    # UFW implements "reject" with a rule of its own and the policy DROP.
    wanted = {chain: "DROP" if policy == "REJECT" else policy for chain, policy in policies.items()}
    there = rules.policies(saved)
    return (
        lines is not None
        and len(lines) == rules.expected_lines(text, family)
        and all(there.get(chain) == policy for chain, policy in wanted.items())
        and all(rules.is_loaded(rule, lines) for rule in found if rule.is_ours and rule.does == "allow")
    )


def assignments(text: str) -> dict[str, str]:
    """NAME=value lines of a shell file without quotes; the last one of a name counts."""
    return dict(re.findall(r"""^\s*([A-Z_0-9]+)=["']?([^"'\n]*?)["']?\s*(?:#.*)?$""", text, flags=re.MULTILINE))
