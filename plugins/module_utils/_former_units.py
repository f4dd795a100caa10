# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that a service had with another backend or role. When they are replaced, their files are removed and their last known good states are kept, until the
units that replace them have passed the health gate: a rollback restores the former units from these.

A host has C(vllm-<service>) and C(ray-head-<service>), or one of C(vllm-<service>) and C(ray-worker-<service>) (plan/placement/node_units.py).
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from . import _last_known_good, _service
from ._host import service_of
from ._status import units

# By the prefix of a unit's name, what its files have between the name of the service and their suffix.
INFIXES = {"vllm-": "", "ray-head-": ".ray-head", "ray-worker-": ".ray-worker"}


@dataclasses.dataclass
class Unit:
    """A unit with its last known good state; C(name) is the key of its outcome, and C(own_folders) the command of the unit that is on the disk."""

    name: str
    service: _service.Service
    kept: _last_known_good.State | None
    own_folders: t.Sequence[str] = ()


def kept_beside(present: t.Sequence[Unit]) -> list[Unit]:
    """Return the former units of a service whose state is kept beside those of its present units, which are all of one service. None if there are none."""
    found = []
    service = service_of(present[0].service.unit)
    names = {unit.service.unit for unit in present}
    states = os.path.dirname(present[0].service.served or "")
    environments = os.path.dirname(present[0].service.environment_file)
    for prefix, infix in INFIXES.items():
        unit = f"{prefix}{service}.service"
        served = os.path.join(states, f"{service}{infix}.json")
        kept = _last_known_good.load(served) if unit not in names else None
        if kept is not None:
            former = _service.Service(unit, os.path.join(environments, f"{service}{infix}.env"), None, "present", served)
            found.append(Unit(f"{service} ({unit})", former, kept))
    return found


def layout_of(unit_text: str) -> tuple[str, str]:
    """Return the backend of a unit of a multi-node service, and its supervisor's role, leader or worker. Both are empty for a service on one host."""
    words = units.command(unit_text)
    own = words[words.index("supervisor") + 1:words.index("--")] if "supervisor" in words and "--" in words else []
    backend = next((word.partition("=")[2] for word in own if word.startswith("--backend=")), "")
    return backend, own[0] if own and backend else ""


def has_changed_layout(present: t.Sequence[Unit]) -> bool:
    """Whether a unit's files are those of another backend or role than its last known good state."""
    return any(unit.kept is not None and layout_of(unit.kept.unit_text) != layout_of(_last_known_good.read(unit.service.path)) for unit in present)


def main_first(found: t.Sequence[Unit]) -> list[Unit]:
    """Return the units of a service with the main one first: the engine's, on a worker Ray's."""
    return sorted(found, key=lambda unit: not unit.service.unit.startswith("vllm-"))


def missing_beside(found: t.Sequence[Unit]) -> str:
    """Return the unit that an engine on Ray needs and that is not among the units of its service; empty if none is missing."""
    names = {unit.service.unit for unit in found}
    for unit in found:
        head = f"ray-head-{service_of(unit.service.unit)}.service"
        if unit.service.unit.startswith("vllm-") and unit.kept is not None and layout_of(unit.kept.unit_text)[0] == "ray" and head not in names:
            return head
    return ""
