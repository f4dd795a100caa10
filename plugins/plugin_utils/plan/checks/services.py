# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as units: consistent timeouts, changes that need a restart, and files that they use."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, PlanWarning, shown
from ..inputs.service_files import placed
from ..placement.draft import HostDraft
from .base import check

# Seconds that vLLM needs to stop its processes after the last request: less than 10 when measured, with a margin.
_ENDING = 30


@check(every_engine=True)
def stop_timeout_covers_shutdown(host: HostDraft) -> Iterator[PlanError]:
    """systemd's stop timeout is longer than vLLM's shutdown timeout."""
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
                f"set model_service_stop_timeout to {least} or more, or lower the shutdown timeout",
            )


@check(every_engine=True)
def service_needs_no_restart(host: HostDraft) -> Iterator[PlanError]:
    """With model_service_restart: false no service needs a restart: not for a new port, and not as part of a multi-node service."""
    if host.settings.model_service_restart:
        return
    listeners = host.facts.listeners if host.facts is not None else ()
    for draft in host.services:
        service = draft.service
        if draft.is_distributed:
            why = "a multi-node service restarts on all hosts together, which this setting would prevent"
            yield PlanError(host.name, draft.label, "model_service_restart", "false", why, "leave it true: the run does not restart an unchanged service")
            continue
        ports = sorted({listener.port for listener in listeners if listener.unit == service.unit})
        if ports and service.port is not None and service.port not in ports:
            why = f"the service listens on {', '.join(map(str, ports))}; a new port needs a restart, and model_service_restart is false"
            yield PlanError(host.name, draft.label, "port", str(service.port), why, "keep the port, or allow the restart")


@check(every_engine=True)
def proxy_has_an_address(host: HostDraft) -> Iterator[PlanError]:
    """A proxy user has a proxy."""
    user = host.settings.host_proxy_username
    if user and not host.settings.host_http_proxy and not host.settings.host_https_proxy:
        why = "a proxy user is set, but no proxy"
        yield PlanError(host.name, "", "host_proxy_username", shown(user), why, "set the proxy with host_http_proxy, or remove the user")


@check()
def files_are_used(host: HostDraft) -> Iterator[PlanWarning]:
    """An argument or a variable names each file: otherwise the name is probably misspelt."""
    for draft in host.services:
        service = draft.service
        said = (service.vllm_args, service.transformers_args, service.environment)
        for file in service.files:
            if all(placed(part, (file,), "") == placed(part, (), "") for part in said):
                yield PlanWarning(
                    host.name,
                    service.label,
                    f"files has {file.name}, and neither an argument nor a variable of the service names it; use the same name in both, "
                    f"for example chat_template: {file.name}",
                )
