# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: parameters and governors that the host has, no conflicting files, and enough buckets for the connections."""

from __future__ import annotations

from typing import Iterator

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import keys

from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..host.kernel import files_of, sysctl_of
from ..inputs.settings.kernel import VARIABLES
from ..placement.draft import HostDraft
from .base import check

# The kernel's own factor when only the buckets are set. With a larger factor the chains of a full table become long.
_LONG_CHAINS = 8


@check()
def parameters_exist(host: HostDraft) -> Iterator[PlanError]:
    """The kernel of the host has the parameters that the user adds. Some exist only outside of a container, or after a module is loaded."""
    facts = host.facts.kernel if host.facts is not None else None
    if facts is None or not host.settings.kernel_enabled:
        return
    given = [(variable, key, value) for variable in VARIABLES for key, value in getattr(host.settings, variable).items()]
    for variable, key, value in given:
        found = facts.sysctl.get(key)
        is_ours = variable != "kernel_sysctl" and key in keys.OWN
        if value is None or found is None or found.exists or found.absence or is_ours:
            continue
        fix = f"did you mean {' or '.join(found.near)}?" if found.near else "sysctl -a lists what the host has"
        yield PlanError(host.name, "", f"{variable}.{key}", shown(value, key), "the kernel of this host has no such parameter", fix)


@check()
def files_are_managed(host: HostDraft) -> Iterator[PlanError]:
    """No unmanaged file has the name of a file that the role writes."""
    facts = host.facts.kernel if host.facts is not None else None
    if facts is None or not host.settings.kernel_enabled:
        return
    written = {item["path"] for item in files_of(host.settings) if item["lines"]}
    for path in facts.unmanaged:
        if path in written:
            why = f"the role writes {path}, and the host has an unmanaged file with this name"
            yield PlanError(host.name, "", "kernel_enabled", "true", why, "move the file away, or set kernel_enabled: false")


@check()
def governor_is_there(host: HostDraft) -> Iterator[PlanError]:
    """All CPUs offer the governor. Where Linux cannot set their frequency, as in many virtual machines, the role reports that instead."""
    wanted = host.settings.kernel_cpu_governor
    facts = host.facts.kernel if host.facts is not None else None
    if not wanted or not host.settings.kernel_enabled or facts is None or not facts.available_governors or wanted in facts.available_governors:
        return
    otherwise = f"choose one of {', '.join(facts.available_governors)}"
    why = "the driver of the CPUs does not offer this governor"
    yield PlanError(host.name, "", "kernel_cpu_governor", wanted, why, did_you_mean(wanted, facts.available_governors, otherwise))


@check()
def buckets_are_enough(host: HostDraft) -> Iterator[PlanWarning]:
    """A full table of connections does not have long chains."""
    if not host.settings.kernel_enabled:
        return
    sysctl = sysctl_of(host.settings)
    most, buckets = (sysctl.get(f"net.netfilter.nf_conntrack_{name}", "") for name in ("max", "buckets"))
    if most.isdigit() and buckets.isdigit() and int(most) > _LONG_CHAINS * int(buckets):
        text = f"kernel_conntrack_buckets: {buckets} buckets for {most} connections make chains of {2 * int(most) // max(1, int(buckets))} on average"
        yield PlanWarning(host.name, "", f"{text} when the table is full; Linux drops a connection if its chain is too long")
