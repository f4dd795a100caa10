# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that were renamed or removed. An inventory with one of them is an error, since no role would read it."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from ..errors import PlanError, shown

NAMES: Mapping[str, str] = {
    "cuda_proof_timeout": "cuda_smoke_test_timeout",
    "firewall_return_after": "firewall_rollback_timeout",
    "ray_check_network": "multi_node_check_network",
    "ray_clock_skew": "multi_node_clock_skew",
    "ray_dashboard": "multi_node_ray_dashboard",
    "ray_join_timeout": "multi_node_join_timeout",
    "ray_object_store_memory": "multi_node_ray_object_store_memory",
    "multi_node_liveness_timeout": "model_service_liveness_timeout",
    "multi_node_probe_interval": "model_service_probe_interval",
    "multi_node_probe_timeout": "model_service_probe_timeout",
    "ray_patience": "model_service_liveness_timeout",
    "ray_probe_interval": "model_service_probe_interval",
    "ray_probe_timeout": "model_service_probe_timeout",
    "ray_silence": "multi_node_heartbeat_timeout",
    "ray_temp_dir": "multi_node_ray_temp_dir",
    "ray_token": "multi_node_token",
    "ray_version": "multi_node_ray_version",
    "weights_patience": "weights_stall_timeout",
    "weights_rate_floor": "weights_min_rate",
    "weights_share_patience": "weights_share_stall_timeout",
}

_OTHER_CLIENT = (
    "remove it: curl downloads, weights_max_workers files at a time. To use another client, download with it, and set the service's weights_path to the "
    "directory"
)
# Removed variables, each with the fix.
RETIRED: Mapping[str, str] = {"weights_hf_version": _OTHER_CLIENT, "weights_tool": _OTHER_CLIENT}


def errors(host: str, variables: Mapping[str, Any]) -> Iterator[PlanError]:
    """An error for each of these among a host's variables, which are not templated."""
    for name, new in NAMES.items():
        if name in variables:
            yield PlanError(host, "", name, shown(variables[name], name), "this variable was renamed", f"rename it to {new}")
    for name, fix in RETIRED.items():
        if name in variables:
            yield PlanError(host, "", name, shown(variables[name], name), "this variable was removed", fix)
