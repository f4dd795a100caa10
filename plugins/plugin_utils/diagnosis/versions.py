# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known bugs of the versions that run: the plan's advisories with a condition on a version, against what the host runs now."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error, warning

from ..plan.versions import parse
from ..plan.vllm.advisories import Advisories
from .host import Findings, Host

# Facts of advisories that are versions. Advisories without them are about settings, and belong to the plan.
_VERSIONS = ("vllm", "ray")


def check(host: Host, advisories: Advisories) -> Findings:
    """Each managed unit that runs or starts."""
    seen = set()
    for unit in host.running:
        if unit.get("engine") != "vllm":
            continue
        facts: dict[str, Any] = {
            **advisories.defaults, **{f"arguments.{name}": value for name, value in unit.get("arguments", {}).items()},
            "vllm": parse(unit["version"]), "ray": parse(unit["ray"]) if unit.get("ray") else None, "ray.token": True,
        }
        for advisory in advisories.all:
            if not set(_VERSIONS) & set(advisory.conditions) or not advisory.applies(facts) or (unit["service"], advisory.name) in seen:
                continue
            seen.add((unit["service"], advisory.name))
            build = error if advisory.stops else warning
            cause = f"{advisory.name} applies to {unit['unit']} ({unit['release']}): {advisory.why}"
            yield build("known-bug", cause, f"{advisory.fix}; then ansible-playbook site.yml", unit["service"], advisory.source)
