# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as units: times that fit together."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, shown
from ..placement.draft import HostDraft
from .base import check

# What vLLM takes to end its processes after the last request: measured below 10 s, with a margin.
_ENDING = 30


@check(every_engine=True)
def stop_timeout_covers_shutdown(host: HostDraft) -> Iterator[PlanError]:
    """systemd waits longer for a stop than vLLM does for its last requests."""
    stop = host.settings.model_service_stop_timeout
    for draft in host.services:
        least = draft.shutdown_timeout + _ENDING
        if stop < least:
            yield PlanError(
                host.name,
                draft.label,
                "model_service_stop_timeout",
                str(stop),
                f"requests get {draft.shutdown_timeout} s to finish, and systemd would kill the service after {stop} s",
                f"set model_service_stop_timeout to {least} or more, or the shutdown timeout lower",
            )


@check(every_engine=True)
def service_needs_no_restart(host: HostDraft) -> Iterator[PlanError]:
    """Without restarts a service stays as it is as a whole, which nobody can promise of one that moves or that other hosts have a part in."""
    if host.settings.model_service_restart:
        return
    listeners = host.facts.listeners if host.facts is not None else ()
    for draft in host.services:
        service = draft.service
        if draft.is_distributed:
            why = "the hosts of a service are restarted together, and only each of them knows whether it has to be"
            yield PlanError(host.name, draft.label, "model_service_restart", "false", why, "leave it true: a service that has not changed is not restarted")
            continue
        ports = sorted({listener.port for listener in listeners if listener.unit == service.unit})
        if ports and service.port is not None and service.port not in ports:
            why = f"the service runs and listens on {', '.join(map(str, ports))}; it cannot move without a restart, and model_service_restart is false"
            yield PlanError(host.name, draft.label, "port", str(service.port), why, "keep the port, or let the run restart the service")


@check(every_engine=True)
def proxy_has_an_address(host: HostDraft) -> Iterator[PlanError]:
    """Who names a user of a proxy names the proxy."""
    user = host.settings.host_proxy_username
    if user and not host.settings.host_http_proxy and not host.settings.host_https_proxy:
        why = "there is a user for a proxy and no proxy"
        yield PlanError(host.name, "", "host_proxy_username", shown(user), why, "name the proxy with host_http_proxy, or take the user out")
