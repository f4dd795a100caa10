# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: UFW that is off although the plan relies on it, and what goes past it."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error, warning

from .host import Findings, Host


def check(host: Host) -> Findings:
    """UFW as the kernel has it, ports that containers publish, and other managers."""
    facts = host.facts.get("firewall", {})
    state = facts.get("state", {})
    if not facts:
        return
    managed = any(str(rule.get("comment", "")).startswith("inferops:") for rule in state.get("rules", ()))
    expected = host.plan["firewall"]["enabled"] if host.plan else managed
    if not expected:
        return
    look = "ufw status verbose"
    if not state.get("installed") or not state.get("enabled"):
        there = state.get("installed")
        cause = "UFW is off, so every host that reaches this one reaches its services" if there else "UFW is not installed, and the plan relies on it"
        yield error("firewall-off", cause, look if there else "ansible-playbook site.yml --tags firewall")
    elif not state.get("loaded") or not state.get("active", True):
        yield error("firewall-not-loaded", "UFW is enabled, and the kernel does not have its rules", "systemctl status ufw; ufw reload")
    elif not state.get("boot"):
        yield warning("firewall-boot", "UFW does not start at boot", "systemctl enable ufw")
    if state.get("pending"):
        yield warning("firewall-pending", "a change of the firewall is not confirmed and will be rolled back", "systemctl list-timers 'inferops-*'")
    if facts.get("published"):
        ports = list(facts["published"])
        own = sorted({service["port"] for service in host.services} & set(ports))
        extra = f", among them {', '.join(map(str, own))} of a service" if own else ""
        cause = f"containers publish the ports {', '.join(map(str, ports[:10]))}{extra}: packets to them bypass UFW"
        yield warning("firewall-published", cause, "iptables-save -t nat | grep DNAT")
    for other in facts.get("others", ()):
        yield warning("firewall-others", f"another manager of the firewall is on this host: {other}", "nft list ruleset | head -n 50")
