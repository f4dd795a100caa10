# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UFW's rules in its files: one C(### tuple ###) line each in user.rules (IPv4) and user6.rules (IPv6)."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from dataclasses import dataclass

# Prefix of the comment of every managed rule; all other rules are unmanaged.
OWNER = "inferops: "
SSH = f"{OWNER}ssh"

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
# UFW appends these to the action of a rule that is logged.
_LOGGED = re.compile(r"_log(-all)?$")


class Unreadable(ValueError):
    """The text is not a rule."""


@dataclass(frozen=True)
class Rule:
    """A rule for incoming packets of one family, 4 or 6. C(port) is empty for all ports, C(protocol) is then V(any).

    C(elsewhere) has what only unmanaged rules have, as UFW writes it: a destination, a source port, an interface, a direction, an application.
    """

    family: int
    action: str
    port: str
    protocol: str
    source: str
    comment: str = ""
    elsewhere: str = ""

    @property
    def is_ours(self) -> bool:
        return self.comment.startswith(OWNER) and not self.elsewhere

    @property
    def is_ssh(self) -> bool:
        return self.comment == SSH

    @property
    def match(self) -> tuple[int, str, str, str, str]:
        """Which packets the rule matches. UFW has one rule per match: adding another one replaces action and comment of the first."""
        return (self.family, self.port, self.protocol, self.source, self.elsewhere)

    @property
    def does(self) -> str:
        """The action without logging: V(allow), V(limit), V(deny) or V(reject)."""
        return _LOGGED.sub("", self.action)

    @property
    def lets_in(self) -> bool:
        """Whether the rule admits packets, with or without logging or a rate limit."""
        return self.does in ("allow", "limit")

    def arguments(self) -> list[str]:
        """The rule as arguments of the command ufw, without its comment and C(elsewhere).

        UFW's files have V(allow_log-all) where the command has V(allow log-all). UFW deletes a rule only if action and logging are the same.
        """
        words = self.action.split("_", 1)
        if self.protocol != "any":
            words += ["proto", self.protocol]
        # A source of one family makes a rule of that family; "any" would make one of each.
        words += ["from", self.source, "to", "any"]
        return [*words, "port", self.port] if self.port else words

    def deletion(self) -> str:
        """The command with which an administrator removes the rule."""
        if self.elsewhere:
            return "find its number with `ufw status numbered`, then: ufw delete NUMBER"
        return f"ufw delete {' '.join(self.arguments())}"

    def __str__(self) -> str:
        where = f"port {self.port}/{self.protocol}" if self.port else "all ports"
        source = f"everywhere (IPv{self.family})" if self.source == ANYWHERE[self.family] else self.source
        beside = f" ({self.elsewhere})" if self.elsewhere else ""
        return f"{self.action} {where} from {source}{beside}" + (f" # {self.comment}" if self.comment else "")


def make(port: int | None, protocol: str | None, source: str, comment: str) -> Rule:
    """Return the managed rule that admits a source. Raises Unreadable when the source is not a network."""
    network, family = _network(source)
    return Rule(family, "allow", "" if port is None else str(port), protocol or "any", network, comment)


def parse(text: str, family: int) -> list[Rule]:
    """Return the rules in the text of user.rules or user6.rules, in their order. Skips lines that are not rules, as UFW does."""
    found = []
    for line in text.splitlines():
        if line.startswith("### tuple ###"):
            try:
                found.append(_parse_tuple(line, family))
            except Unreadable:
                continue
    return found


def _parse_tuple(line: str, family: int) -> Rule:
    """Parse one line: action, protocol, port, destination, source port, source, two names for applications, direction or interface, comment."""
    head, _mark, comment = line.partition(" comment=")
    words = head.split()[3:]
    if not 6 <= len(words) <= 9:
        raise Unreadable(line)
    action, protocol, port, destination, source_port, source = words[:6]
    rest = words[6:]
    others = [
        "" if destination == ANYWHERE[family] else f"to {destination}",
        "" if source_port == "any" else f"from port {source_port}",
        " ".join(word for word in rest[:-1] if word != "-"),
        "" if not rest or rest[-1] == "in" else rest[-1],
        # A rule of "ufw route" differs from others only in its action.
        "route" if ":" in action else "",
    ]
    return Rule(
        family,
        action.rpartition(":")[2],
        "" if port == "any" else port,
        protocol,
        _network(source, strict=False)[0],
        _text(comment.strip()),
        " ".join(word for word in others if word),
    )


def _network(text: str, strict: bool = True) -> tuple[str, int]:
    """Return a network as UFW writes it (a single address without a prefix length) and its family. C(strict) refuses host bits."""
    try:
        network = ipaddress.ip_network(text, strict)
    except ValueError as error:
        raise Unreadable(f"{text} is not a network: {error}") from error
    alone = network.prefixlen == network.max_prefixlen
    return (str(network.network_address) if alone else str(network)), network.version


def _text(comment: str) -> str:
    """Decode a comment; UFW stores it in hexadecimal digits."""
    try:
        return bytes.fromhex(comment).decode("utf-8", "replace")
    except ValueError:
        return comment


def loaded(saved: str, family: int) -> t.Optional[list[str]]:
    """Return the rules of UFW's input chain in the output of iptables-save or ip6tables-save; None when UFW is not loaded in the kernel.

    UFW has no effect when INPUT does not jump to its chains, so these jumps must exist as well.
    """
    prefix = "ufw" if family == 4 else "ufw6"
    lines = filter_table(saved)
    jumps = (f"-A INPUT -j {prefix}-before-input", f"-A {prefix}-before-input -j {prefix}-user-input")
    if not all(jump in lines for jump in jumps):
        return None
    return [line for line in lines if line.startswith(f"-A {prefix}-user-input ")]


def is_loaded(rule: Rule, lines: t.Iterable[str]) -> bool:
    """Whether one of the kernel's lines is this managed rule."""
    return any(_means(line) == (rule.source, rule.protocol, rule.port) for line in lines)


def _means(line: str) -> t.Optional[tuple[str, str, str]]:
    """Source, protocol and port of a line that accepts packets and has no other conditions."""
    words = line.split()[2:]
    family = 6 if line.startswith("-A ufw6-") else 4
    found = {"-s": ANYWHERE[family], "-p": "any", "--dport": ""}
    position = 0
    while position + 1 < len(words):
        name, value = words[position], words[position + 1]
        if name in found:
            found[name] = value
        elif not (name == "-j" and value == "ACCEPT") and not (name == "-m" and value == found["-p"]):
            return None
        position += 2
    try:
        return _network(found["-s"])[0], found["-p"], found["--dport"]
    except Unreadable:
        return None


def expected_lines(text: str, family: int) -> int:
    """How many lines of the kernel's input chain the text of user.rules or user6.rules produces."""
    prefix = "-A ufw-user-input " if family == 4 else "-A ufw6-user-input "
    return sum(line.startswith(prefix) for line in text.splitlines())


def clearing(saved: str, family: int) -> str:
    """Input of iptables-restore that removes UFW's chains, and the jumps to them, from the filter table; empty when there are none.

    UFW adds no jumps to chains that exist already, so it cannot repair chains that somebody has flushed.
    """
    prefix = "ufw-" if family == 4 else "ufw6-"
    lines = filter_table(saved)
    chains = [line.split()[0][1:] for line in lines if line.startswith(f":{prefix}")]
    if not chains:
        return ""
    jumps = [f"-D {line[3:]}" for line in lines if line.startswith("-A ") and not line.startswith(f"-A {prefix}") and f" -j {prefix}" in line]
    done = [*jumps, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]
    return "\n".join(["*filter", *done, "COMMIT"]) + "\n"


def filter_table(saved: str) -> list[str]:
    """The lines of the filter table in the output of iptables-save."""
    return table(saved, "filter")


def table(saved: str, name: str) -> list[str]:
    """The lines of one table in the output of iptables-save."""
    inside = False
    found = []
    for line in saved.splitlines():
        if line.startswith("*"):
            inside = line == f"*{name}"
        elif inside:
            found.append(line.strip())
    return found


def policies(saved: str) -> dict[str, str]:
    """Policies of the three built-in chains of the filter table, for example V({"INPUT": "DROP"})."""
    words = (line[1:].split() for line in filter_table(saved) if line.startswith(":"))
    return {name: policy for name, policy, *_counters in words if policy != "-"}
