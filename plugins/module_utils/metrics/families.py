# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the collector: names with their types, labels and help texts. docs/monitoring.md has them as a table, which `make docs` writes."""

from __future__ import annotations

import typing as t

GAUGE, COUNTER = "gauge", "counter"


class Family(t.NamedTuple):
    """The type of a metric, the names of its labels, and its help text."""

    kind: str
    labels: str
    help: str


# By name, in the order of the output.
FAMILIES = {
    "inferops_service_state": Family(GAUGE, "service unit state", "1 for the state that a unit of a service is in, 0 for its other states (docs/status.md)."),
    "inferops_service_info": Family(GAUGE, "service unit release model revision", "1; what a unit of a service runs."),
    "inferops_service_restarts_total": Family(COUNTER, "service unit", "Automatic restarts since the unit was last started explicitly."),
    "inferops_service_generation": Family(GAUGE, "service unit", "Generation since the last explicit start, from 1; 0 while it does not run."),
    "inferops_service_failed_starts": Family(GAUGE, "service unit", "Starts in a row that have failed."),
    "inferops_service_since_timestamp_seconds": Family(GAUGE, "service unit", "When the unit entered its state."),
    "inferops_service_probe_timestamp_seconds": Family(GAUGE, "service unit", "When the engine last answered a probe of its supervisor."),
    "inferops_service_memory_bytes": Family(GAUGE, "service unit", "Memory of the unit's processes."),
    "inferops_service_nodes": Family(GAUGE, "service", "Nodes of a multi-node service, on the host of its leader."),
    "inferops_service_nodes_connected": Family(GAUGE, "service", "Nodes that are connected to the leader; 0 while it does not run."),
    "inferops_service_node_missing": Family(GAUGE, "service node", "1 for each node that a supervisor waits for."),
    "inferops_service_last_failure_timestamp_seconds": Family(GAUGE, "service unit", "When the newest kept failure of the unit happened."),
    "inferops_service_changed_outside": Family(GAUGE, "service unit", "Whether the unit or its files were changed outside of the collection."),
    "inferops_service_last_known_good": Family(GAUGE, "service", "Whether the service has a last known good state, for a rollback."),
    "inferops_service_last_known_good_timestamp_seconds": Family(GAUGE, "service", "When that state passed the health gate."),
    "inferops_advisory": Family(GAUGE, "service advisory severity", "1 for each advisory that applies to the running release of a service."),
    "inferops_certificate_expiry_timestamp_seconds": Family(GAUGE, "service file", "When the certificate expires that a service serves."),
    "inferops_gpu_info": Family(GAUGE, "gpu uuid model driver", "1; the GPU and its driver."),
    "inferops_gpu_usable": Family(GAUGE, "gpu uuid", "0 for a GPU that must not be used (docs/gpu-health.md)."),
    "inferops_gpu_finding": Family(GAUGE, "gpu uuid finding level", "1 for each finding; one about the host has an empty gpu (docs/gpu-health.md)."),
    "inferops_gpu_missing": Family(GAUGE, "gpu service", "1 for each GPU that a service names and that is not there."),
    "inferops_gpu_xids": Family(
        GAUGE, "gpu uuid xid action", "Errors of a GPU in the kernel's log since the driver was loaded, by XID; fewer after the log was rotated.",
    ),
    "inferops_gpu_xid_last_timestamp_seconds": Family(GAUGE, "gpu uuid xid action", "When the kernel's log last had this XID of the GPU."),
    "inferops_gpu_memory_used_bytes": Family(GAUGE, "gpu uuid", "Used memory of the GPU."),
    "inferops_gpu_memory_total_bytes": Family(GAUGE, "gpu uuid", "Memory of the GPU."),
    "inferops_gpu_temperature_celsius": Family(GAUGE, "gpu uuid", "Temperature of the GPU."),
    "inferops_gpu_utilization_ratio": Family(GAUGE, "gpu uuid", "Share of time in which the GPU computed."),
    "inferops_gpu_power_watts": Family(GAUGE, "gpu uuid", "Power that the GPU draws."),
    "inferops_gpu_power_limit_watts": Family(GAUGE, "gpu uuid", "Power limit of the GPU."),
    "inferops_gpu_ecc_uncorrectable": Family(GAUGE, "gpu uuid", "Uncorrectable ECC errors since the driver was loaded."),
    "inferops_gpu_ecc_correctable": Family(GAUGE, "gpu uuid", "Corrected ECC errors since the driver was loaded."),
    "inferops_gpu_pcie_width": Family(GAUGE, "gpu uuid", "Lanes of the GPU's PCIe link."),
    "inferops_gpu_pcie_width_max": Family(GAUGE, "gpu uuid", "Lanes that card and slot allow."),
    "inferops_gpu_throttled": Family(GAUGE, "gpu uuid reason", "Whether the GPU's clocks are held back for a reason."),
    "inferops_filesystem_available_bytes": Family(GAUGE, "holds mountpoint", "Free bytes of a file system that the collection uses, by what it holds."),
    "inferops_filesystem_size_bytes": Family(GAUGE, "holds mountpoint", "Size of a file system that the collection uses, by what it holds."),
    "inferops_download_running": Family(GAUGE, "unit", "1 for a download that runs, 0 for one that has failed."),
    "inferops_download_bytes": Family(GAUGE, "unit", "Bytes that a download has on the disk."),
    "inferops_download_total_bytes": Family(GAUGE, "unit", "Bytes that a download has in the end."),
    "inferops_weights_bytes": Family(GAUGE, "repo revision", "Bytes according to the manifest, or on the disk while incomplete."),
    "inferops_weights_complete": Family(GAUGE, "repo revision", "Whether weights are complete."),
    "inferops_release_info": Family(GAUGE, "release engine version in_use", "1; a release on the host, and whether a unit uses it."),
    "inferops_collector_timestamp_seconds": Family(GAUGE, "", "When the collector last ran."),
    "inferops_collector_duration_seconds": Family(GAUGE, "", "Seconds that the collector took."),
    "inferops_collector_error": Family(GAUGE, "part", "Whether a part of the collector failed at its last run."),
}
