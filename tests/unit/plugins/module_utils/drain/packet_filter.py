# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for iptables and ip6tables: the rules of one chain of both."""

from __future__ import annotations


class Chain:
    """A chain of both families. C(fails) is a program that does not work."""

    def __init__(self, name: str, fails: str = "") -> None:
        self.name, self.fails = name, fails
        self.rules: dict[str, list[list[str]]] = {"iptables": [], "ip6tables": []}

    def apply(self, command: str, action: str, chain: str, *rest: str) -> str:
        """The error of --check, --insert and --delete; empty when they succeed."""
        assert chain == self.name
        words, rules = list(rest), self.rules[command]
        if command == self.fails:
            return "not found"
        if action == "--insert":
            assert words.pop(0) == "1"
            rules.insert(0, words)
            return ""
        if words not in rules:
            return "Bad rule"
        if action == "--delete":
            rules.remove(words)
        return ""
