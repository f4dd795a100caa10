# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host differs from its plan, beside its units: kernel parameters with their files, and the firewall."""

from __future__ import annotations

from typing import Any, Iterator

from .hosts import Host

# How many parameters are named.
_MOST = 5


def differences(host: Host) -> list[dict[str, str]]:
    """What the roles kernel and firewall would change. Empty without a plan or facts, which the document says."""
    if not host.plan or not host.facts:
        return []
    return [{"what": what, "text": text} for what, text in (*_kernel(host), *_firewall(host))]


def _kernel(host: Host) -> Iterator[tuple[str, str]]:
    kernel: dict[str, Any] = host.plan["kernel"]
    if not kernel["enabled"]:
        return
    for item in kernel["files"]:
        yield "kernel_file", f"{item['path']} differs from the plan"
    for path in kernel["obsolete"]:
        yield "kernel_file", f"{path} is not in the plan"
    facts = host.facts["kernel"]["sysctl"]
    wrong = [
        f"{name} is {found['value']} instead of {value}"
        for name, value in sorted(kernel["sysctl"].items())
        for found in [facts.get(name) or {}]
        if found.get("value") is not None and str(found["value"]).split() != str(value).split()
    ]
    for text in wrong[:_MOST]:
        yield "sysctl", text
    if len(wrong) > _MOST:
        yield "sysctl", f"{len(wrong) - _MOST} more kernel parameters differ from the plan"


def _firewall(host: Host) -> Iterator[tuple[str, str]]:
    if host.plan["firewall"]["needed"]:
        yield "firewall", "UFW's state or its managed rules differ from the plan"
