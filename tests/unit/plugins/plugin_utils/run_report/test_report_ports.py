# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Listening ports with the sources that the firewall allows."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import ports


def rule(port: str = "8001", source: str = "10.0.0.0/8", **changes: Any) -> dict[str, Any]:
    return {"family": 4, "action": "allow", "port": port, "protocol": "tcp", "source": source, "comment": "", "elsewhere": "", **changes}


@pytest.mark.parametrize(
    ("address", "rules", "unread", "reachable", "sources"),
    [
        ("0.0.0.0", [rule()], {}, "sources", ["10.0.0.0/8"]),
        ("0.0.0.0", [rule("22")], {}, "closed", []),
        ("0.0.0.0", [rule(action="deny")], {}, "closed", []),
        ("0.0.0.0", [rule(action="limit_log")], {}, "sources", ["10.0.0.0/8"]),
        ("0.0.0.0", [rule(protocol="udp")], {}, "closed", []),
        ("0.0.0.0", [rule("", "192.0.2.7", protocol="any")], {}, "sources", ["192.0.2.7"]),
        ("0.0.0.0", [rule("8000:8010"), rule("80,8001", "192.0.2.7")], {}, "sources", ["10.0.0.0/8", "192.0.2.7"]),
        ("0.0.0.0", [rule("8002:8010"), rule("80,443")], {}, "closed", []),
        ("0.0.0.0", [rule(source="::/0", family=6)], {}, "closed", []),
        ("::", [rule(), rule(source="fc00::/7", family=6)], {}, "sources", ["10.0.0.0/8", "fc00::/7"]),
        ("2001:db8::1", [rule(), rule(source="fc00::/7", family=6)], {}, "sources", ["fc00::/7"]),
        ("0.0.0.0", [rule(elsewhere="in eth1")], {}, "sources", ["10.0.0.0/8 (in eth1)"]),
        ("0.0.0.0", None, {}, "not filtered by UFW", []),
        ("0.0.0.0", None, {"firewall": "iptables-save did not answer"}, "unknown", []),
        ("127.0.0.1", [rule()], {}, "this host only", []),
        ("::1", None, {}, "this host only", []),
        ("::ffff:127.0.0.1", None, {}, "this host only", []),
        ("no address", None, {}, "not filtered by UFW", []),
    ],
)
def test_scan(address: str, rules: Any, unread: dict[str, str], reachable: str, sources: list[str]) -> None:
    listener = {"protocol": "tcp", "port": 8001, "address": address, "owner": "a.service", "random": False}
    assert ports.scan([listener], rules, unread) == [{**listener, "reachable": reachable, "sources": sources}]
