# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that come from other hosts, or lie on this one already: what is named is there."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, did_you_mean, shown
from ..inputs.settings.sharing import MIRROR, PEER
from ..placement.draft import HostDraft
from .base import check

# Names of the units that this collection serves weights to peers with.
_OWN_UNIT = "inferops-share.service"

# Places that a service's unit does not see: ProtectHome= and PrivateTmp= (roles/model_service/templates/vllm.service.j2).
HIDDEN_PATHS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@check()
def weights_mirror_exists(host: HostDraft) -> Iterator[PlanError]:
    """Who shares by a mirror names the host that it runs on, and the inventory has that host."""
    settings = host.settings
    if settings.weights_share != MIRROR or settings.weights_mirror_address:
        return
    name = settings.weights_mirror_host
    if not name:
        why = "weights_share is mirror, and no host runs the mirror"
        yield PlanError(host.name, "", "weights_mirror_host", "", why, "name a host of the inventory, and run playbooks/weights_mirror.yml for it")
    else:
        why = "the inventory has no host of this name"
        yield PlanError(host.name, "", "weights_mirror_host", shown(name), why, "name one that it has, or say where the mirror is with weights_mirror_address")


@check()
def weights_share_port_is_free(host: HostDraft) -> Iterator[PlanError]:
    """The port at which weights are served to peers belongs to no service of this host, and to no other program."""
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
    """The interface that weights are shared over is one of the host's."""
    wanted = host.settings.weights_share_interface
    if host.settings.weights_share != PEER or not wanted or host.facts is None or not host.facts.interfaces or wanted in host.facts.interfaces:
        return
    there = host.facts.interfaces
    why = "the host has no network interface of this name with an IPv4 address"
    fix = did_you_mean(wanted, there, f"choose among {', '.join(there)}; where hosts differ, let a variable of each say it")
    yield PlanError(host.name, "", "weights_share_interface", shown(wanted), why, fix)


@check()
def weights_path_is_mounted(host: HostDraft) -> Iterator[PlanError]:
    """Where weights are said to lie on a mount they lie below it, and something is mounted there."""
    for draft in host.services:
        path, mount = draft.service.weights_path, draft.service.weights_mount
        if mount is None:
            continue
        if path is None:
            why = "it says what has to be mounted, and the service names no weights_path"
            yield PlanError(host.name, draft.label, "weights_mount", mount, why, "name the folder with the model's files with weights_path")
        elif path != mount and not path.startswith(f"{mount}/"):
            yield PlanError(host.name, draft.label, "weights_mount", mount, f"weights_path {path} does not lie below it", "name the mount that it lies on")
        elif host.facts is not None and host.facts.mount_points and mount not in host.facts.mount_points:
            yield PlanError(host.name, draft.label, "weights_mount", mount, "nothing is mounted there", "mount it (and see that it is mounted at boot)")


@check()
def weights_path_is_visible_to_the_unit(host: HostDraft) -> Iterator[PlanError]:
    """The folder can be read by a service's unit."""
    for draft in host.services:
        path = draft.service.weights_path
        if path is not None and any(path == hidden or path.startswith(f"{hidden}/") for hidden in HIDDEN_PATHS):
            why = "services do not see this part of the file system"
            yield PlanError(host.name, draft.label, "weights_path", path, why, "put the folder elsewhere, below /srv or /mnt for example")
