# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that the role ships, and the rules that follow from the objectives of services."""

from __future__ import annotations

from pathlib import Path

from typing import Any, Mapping

from . import configuration, objectives, targets

_KINDS = {"rules": "*.yml", "dashboards": "*.json"}
OBJECTIVES = "rules/inferops-objectives.yml"


def read(folder: Path, plans: Mapping[str, targets.Plan], monitor: str) -> dict[str, str]:
    """Texts of the files by their paths. Raises OSError."""
    found = {f"{kind}/{path.name}": path.read_text(encoding="utf-8") for kind, pattern in _KINDS.items() for path in sorted((folder / kind).glob(pattern))}
    services: list[dict[str, Any]] = targets.services(targets.monitored(plans, monitor))
    return {**found, OBJECTIVES: configuration.to_yaml(objectives.rules(services))}
