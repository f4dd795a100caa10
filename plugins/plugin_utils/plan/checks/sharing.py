# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from other hosts, or already on this host: the mirror, the port, the interface and the directory exist."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, did_you_mean, shown
from ..inputs.settings.sharing import MIRROR, PEER
from ..placement.draft import HostDraft
from .base import check

# The unit that serves weights to peers.
_OWN_UNIT = "inferops-share.service"

# Directories that a service's unit cannot see: ProtectHome= and PrivateTmp= (roles/model_service/templates/service.j2).
HIDDEN_PATHS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@check()
def weights_mirror_exists(host: HostDraft) -> Iterator[PlanError]:
    """A host that shares weights by a mirror names the mirror's host, and the inventory has that host."""
    settings = host.settings
    if settings.weights_share != MIRROR or settings.weights_mirror_address:
        return
    name = settings.weights_mirror_host
    if not name:
        why = "weights_share is mirror, and no mirror host is set"
        yield PlanError(host.name, "", "weights_mirror_host", "", why, "name a host of the inventory, and run playbooks/weights_mirror.yml for it")
    else:
        why = "the inventory has no host of this name"
        fix = "name a host of the inventory, or set weights_mirror_address to the mirror's address"
        yield PlanError(host.name, "", "weights_mirror_host", shown(name), why, fix)


@check()
def weights_share_port_is_free(host: HostDraft) -> Iterator[PlanError]:
    """No service and no other program on this host uses the port at which peers fetch weights."""
    if host.settings.weights_share != PEER:
        return
    port = host.settings.weights_share_port
    fix = "set weights_share_port to another port"
    for draft in host.services:
        if draft.service.port == port:
            yield PlanError(host.name, draft.label, "weights_share_port", str(port), "the service listens on this port", fix)
    for listener in host.facts.listeners if host.facts is not None else ():
        if listener.port == port and listener.unit != _OWN_UNIT:
            who = listener.unit or (f"process {listener.pid}" if listener.pid else "another program")
            yield PlanError(host.name, "", "weights_share_port", str(port), f"{who} listens on this port", fix)
            return


@check()
def weights_share_interface_exists(host: HostDraft) -> Iterator[PlanError]:
    """The interface for sharing weights exists on the host."""
    wanted = host.settings.weights_share_interface
    if host.settings.weights_share != PEER or not wanted or host.facts is None or not host.facts.interfaces or wanted in host.facts.interfaces:
        return
    there = host.facts.interfaces
    why = "the host has no network interface of this name with an IPv4 address"
    fix = did_you_mean(wanted, there, f"choose among {', '.join(there)}; where hosts differ, set it as a host variable")
    yield PlanError(host.name, "", "weights_share_interface", shown(wanted), why, fix)


@check()
def weights_path_is_mounted(host: HostDraft) -> Iterator[PlanError]:
    """weights_path is on weights_mount, and that is mounted."""
    for draft in host.services:
        path, mount = draft.service.weights_path, draft.service.weights_mount
        if mount is None:
            continue
        if path is None:
            why = "it needs weights_path, which the service does not set"
            yield PlanError(host.name, draft.label, "weights_mount", mount, why, "set weights_path to the directory with the model's files")
        elif path != mount and not path.startswith(f"{mount}/"):
            why = f"weights_path {path} is not under it"
            yield PlanError(host.name, draft.label, "weights_mount", mount, why, "write the mount that contains weights_path")
        elif host.facts is not None and host.facts.mount_points and mount not in host.facts.mount_points:
            yield PlanError(host.name, draft.label, "weights_mount", mount, "nothing is mounted there", "mount it, and configure the mount for each boot")


@check()
def weights_path_is_visible_to_the_unit(host: HostDraft) -> Iterator[PlanError]:
    """The service's unit can see weights_path."""
    for draft in host.services:
        path = draft.service.weights_path
        if path is not None and any(path == hidden or path.startswith(f"{hidden}/") for hidden in HIDDEN_PATHS):
            why = "services cannot see this part of the file system"
            yield PlanError(host.name, draft.label, "weights_path", path, why, "move the directory, for example to /srv or /mnt")
