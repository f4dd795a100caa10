# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the collector: names with their types and help texts (docs/monitoring.md)."""

from __future__ import annotations

GAUGE, COUNTER = "gauge", "counter"

# Type and help text by name, in the order of the output.
FAMILIES = {
    "inferops_service_state": (GAUGE, "1 for the state that a unit of a service is in, 0 for its other states (docs/status.md)."),
    "inferops_service_info": (GAUGE, "1; what a unit of a service runs."),
    "inferops_service_restarts_total": (COUNTER, "Automatic restarts since the unit was last started explicitly."),
    "inferops_service_generation": (GAUGE, "Number of the generation since the unit was last started explicitly, from 1; 0 while it does not run."),
    "inferops_service_failed_starts": (GAUGE, "Starts in a row that have failed."),
    "inferops_service_since_timestamp_seconds": (GAUGE, "When the unit entered its state."),
    "inferops_service_probe_timestamp_seconds": (GAUGE, "When the engine last answered a probe of its supervisor."),
    "inferops_service_memory_bytes": (GAUGE, "Memory of the unit's processes."),
    "inferops_service_nodes": (GAUGE, "Nodes of a multi-node service, on the host of its leader."),
    "inferops_service_nodes_connected": (GAUGE, "Nodes of a multi-node service that are connected to its leader; 0 while the leader does not run."),
    "inferops_service_node_missing": (GAUGE, "1 for each node that a supervisor waits for."),
    "inferops_service_last_failure_timestamp_seconds": (GAUGE, "When the newest kept failure of the unit happened."),
    "inferops_service_changed_outside": (GAUGE, "Whether the unit or its files were changed outside of the collection."),
    "inferops_service_last_known_good": (GAUGE, "Whether the host has a last known good state of the service, for a rollback."),
    "inferops_service_last_known_good_timestamp_seconds": (GAUGE, "When the service's last known good state passed the health gate."),
    "inferops_advisory": (GAUGE, "1 for each advisory that applies to the running release of a service."),
    "inferops_certificate_expiry_timestamp_seconds": (GAUGE, "When the certificate expires that a service serves."),
    "inferops_gpu_info": (GAUGE, "1; the GPU and its driver."),
    "inferops_gpu_usable": (GAUGE, "0 for a GPU that must not be used (docs/gpu-health.md)."),
    "inferops_gpu_finding": (GAUGE, "1 for each finding about a GPU, or about the host with an empty gpu (docs/gpu-health.md)."),
    "inferops_gpu_missing": (GAUGE, "1 for each GPU that a service names and that is not there."),
    "inferops_gpu_xids": (GAUGE, "Errors of a GPU in the kernel's log since the driver was loaded, by XID."),
    "inferops_gpu_memory_used_bytes": (GAUGE, "Used memory of the GPU."),
    "inferops_gpu_memory_total_bytes": (GAUGE, "Memory of the GPU."),
    "inferops_gpu_temperature_celsius": (GAUGE, "Temperature of the GPU."),
    "inferops_gpu_utilization_ratio": (GAUGE, "Share of time in which the GPU computed."),
    "inferops_gpu_power_watts": (GAUGE, "Power that the GPU draws."),
    "inferops_gpu_power_limit_watts": (GAUGE, "Power limit of the GPU."),
    "inferops_gpu_ecc_uncorrectable": (GAUGE, "Uncorrectable ECC errors since the driver was loaded."),
    "inferops_gpu_ecc_correctable": (GAUGE, "Corrected ECC errors since the driver was loaded."),
    "inferops_gpu_pcie_width": (GAUGE, "Lanes of the GPU's PCIe link."),
    "inferops_gpu_pcie_width_max": (GAUGE, "Lanes that card and slot allow."),
    "inferops_gpu_throttled": (GAUGE, "Whether the GPU's clocks are held back for a reason."),
    "inferops_filesystem_available_bytes": (GAUGE, "Free bytes of a file system that the collection uses, by what it holds."),
    "inferops_filesystem_size_bytes": (GAUGE, "Size of a file system that the collection uses, by what it holds."),
    "inferops_download_running": (GAUGE, "1 for a download that runs, 0 for one that has failed."),
    "inferops_download_bytes": (GAUGE, "Bytes that a download has on the disk."),
    "inferops_download_total_bytes": (GAUGE, "Bytes that a download has in the end."),
    "inferops_weights_bytes": (GAUGE, "Bytes of weights according to their manifest, or on the disk while they are not complete."),
    "inferops_weights_complete": (GAUGE, "Whether weights are complete."),
    "inferops_release_info": (GAUGE, "1; a release on the host, and whether a unit uses it."),
    "inferops_collector_timestamp_seconds": (GAUGE, "When the collector last ran."),
    "inferops_collector_duration_seconds": (GAUGE, "Seconds that the collector took."),
    "inferops_collector_error": (GAUGE, "Whether a part of the collector failed at its last run."),
}
