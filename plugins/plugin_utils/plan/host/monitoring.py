# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus scrapes on a host, and at which address; and what the collector has to know.

The labels of targets are part of the alert rules and dashboards (docs/monitoring.md).
"""

from __future__ import annotations

from typing import Any

from ..inputs.addresses import bracketed, plain
from ..inputs.settings.monitoring import PRESENT
from ..placement.draft import HostDraft, ServiceDraft
from . import advisories
from .firewall import is_loopback, monitoring_source
from .tls import is_used

VLLM, NODE, DCGM = "vllm", "inferops-node", "dcgm"
# Addresses on which a service listens on all of its host's.
_WILDCARDS = ("0.0.0.0", "::")


def is_monitored(host: HostDraft) -> bool:
    """Whether the inventory has monitoring for a host."""
    settings = host.settings
    return settings.monitoring_state == PRESENT and bool(settings.monitoring_host or settings.monitoring_address)


def is_monitor(host: HostDraft) -> bool:
    """Whether Prometheus runs on this host."""
    return host.settings.monitoring_host == host.name


def monitoring_of(host: HostDraft) -> dict[str, Any] | None:
    """The monitoring of a host for the role; None without it."""
    if not is_monitored(host):
        return None
    settings = host.settings
    own = {"cluster": settings.monitoring_cluster, "host": host.name}
    address = settings.monitoring_target_address or host.address
    targets = [_target(NODE, address, settings.monitoring_node_exporter_port, own)]
    if settings.monitoring_dcgm_exporter_port:
        targets.append(_target(DCGM, address, settings.monitoring_dcgm_exporter_port, own))
    targets += [_service_target(host, draft, address, own) for draft in host.services if is_scraped(host, draft)]
    return {
        "host": settings.monitoring_host,
        "source": monitoring_source(host),
        "targets": targets,
        "services": [
            {**_service_labels(draft, own), "objectives": draft.service.objectives} for draft in host.services if draft.answers
        ],
        "collector": {
            "weights_dir": settings.weights_dir, "releases_dir": settings.vllm_releases_dir, "cache_dir": settings.host_cache_dir,
            "state_dir": settings.host_state_dir,
            "advisories": {
                str(draft.service.name): {
                    "release": draft.release.name,
                    "advisories": [
                        {"name": advisory.name, "severity": "error" if advisory.stops else "warning"} for advisory in advisories.of_service(host, draft)
                    ],
                }
                for draft in host.services
            },
        },
    }


def is_scraped(host: HostDraft, draft: ServiceDraft) -> bool:
    """Whether Prometheus can reach a service: not one that listens on another host's loopback address."""
    return draft.answers and draft.service.port is not None and (not is_loopback(draft.service.host) or is_monitor(host))


def _service_target(host: HostDraft, draft: ServiceDraft, address: str, own: dict[str, str]) -> dict[str, Any]:
    listens = draft.service.host
    reached = address if listens in _WILDCARDS else listens
    is_tls = is_used(draft)
    name = draft.service.tls_server_name or ""
    return {
        **_target(VLLM, reached, draft.service.port or 0, _service_labels(draft, own)),
        "scheme": "https" if is_tls else "http",
        # Only where the certificate is for another name than the target's.
        "server_name": name if is_tls and name != plain(reached) else "",
    }


def _service_labels(draft: ServiceDraft, own: dict[str, str]) -> dict[str, str]:
    service = draft.service
    model = service.served_model_name or service.name
    return {**own, "service": str(service.name), "model": str(model), "release": draft.release.name, "task": draft.task}


def _target(job: str, address: str, port: int, labels: dict[str, str]) -> dict[str, Any]:
    return {"job": job, "address": f"{bracketed(address)}:{port}", "scheme": "http", "server_name": "", "labels": labels}
