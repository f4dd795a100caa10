# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters that differ from the plan's, and the connection tracking table."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import keys
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error, warning

from .host import Findings, Host

# Parts of the connection table from which on it is reported.
NEARLY, FULL = 0.8, 0.95
# Losses of host_facts that mean refused connections.
_LOSSES = ("drop", "early_drop", "insert_failed")


def check(host: Host) -> Findings:
    """Each parameter of the plan, huge pages and governors, then the connections."""
    yield from _parameters(host)
    yield from _connections(host)


def _parameters(host: Host) -> Findings:
    planned, facts = host.plan.get("kernel", {}), host.facts.get("kernel", {})
    if not planned.get("enabled") or not facts:
        return
    for key, value in planned.get("sysctl", {}).items():
        found = facts.get("sysctl", {}).get(key)
        if found is None or not found.get("exists"):
            continue
        if not keys.same(key, value, found.get("value")):
            cause = f"the kernel parameter {key} is {found.get('value')}, and the plan sets {value}"
            yield warning("sysctl", cause, f"sysctl {key}; grep -rn {key} /etc/sysctl.d")
        for other in found.get("conflicts", ()):
            if not keys.same(key, value, other):
                cause = f"a file sets the kernel parameter {key} to {other or 'its default'} at the next boot, and the plan sets {value}"
                yield warning("sysctl-conflict", cause, f"grep -rn {key} /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d")
    for name, what in (("transparent_hugepages", "transparent huge pages are"), ("cpu_governor", "the CPU governor is")):
        wanted = planned.get(name)
        found = facts.get("transparent_hugepages") if name == "transparent_hugepages" else ", ".join(facts.get("governors", ()))
        if wanted and found and found != wanted:
            yield warning("kernel-setting", f"{what} {found}, and the plan sets {wanted}", "ansible-playbook site.yml --tags kernel --check --diff")


def _connections(host: Host) -> Findings:
    table = host.facts.get("conntrack", {})
    count, most = table.get("count"), table.get("max")
    if isinstance(count, int) and isinstance(most, int) and most and count >= NEARLY * most:
        build = error if count >= FULL * most else warning
        cause = f"the connection tracking table has {count} of at most {most} connections"
        yield build("conntrack-full", cause, "conntrack -S; sysctl net.netfilter.nf_conntrack_max")
    lost = {name: table[name] for name in _LOSSES if table.get(name)}
    if lost:
        text = ", ".join(f"{name} {number}" for name, number in lost.items())
        yield warning("conntrack-drops", f"the connection tracking table has lost connections since boot ({text})", "conntrack -S")
