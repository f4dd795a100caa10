# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of the collection on a host, and those that a run has to create or correct."""

from __future__ import annotations

from typing import Any, Iterable

from ..inputs.facts import HostFacts
from ..inputs.settings import Settings

_ROOT = "root"


def of_host(settings: Settings) -> list[dict[str, Any]]:
    """The directories that all services share. Only root can write to those with files that root runs or reads."""
    state = settings.host_state_dir
    roots = (
        settings.host_config_dir, settings.host_install_dir, f"{settings.host_install_dir}/bin", f"{settings.host_install_dir}/lib",
        settings.vllm_releases_dir, state, f"{state}/checked", f"{state}/jobs", f"{state}/served",
    )
    downloads = {"owner": settings.host_user, "group": settings.host_group}
    return [
        *({"path": path} for path in roots), {"path": f"{state}/progress", **downloads}, {"path": settings.weights_dir, **downloads},
        {"path": settings.host_cache_dir},
    ]


def to_mend(items: Iterable[dict[str, Any]], facts: HostFacts | None) -> list[dict[str, Any]]:
    """The directories that are missing on a host or have another owner, group or mode, as the module C(directories) takes them."""
    there = facts.directories if facts is not None else {}
    return [item for item in items if there.get(item["path"]) != _wanted(item)]


def _wanted(item: dict[str, Any]) -> str:
    return f"{item.get('owner', _ROOT)}:{item.get('group', _ROOT)} {int(item.get('mode', '0755'), 8):04o}"
