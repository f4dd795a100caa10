# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles and presets: the catalogue entry has them, and the service has the GPUs of its profile."""

from __future__ import annotations

from typing import Iterator, Mapping

from ..errors import PlanError, PlanWarning, did_you_mean, shown
from ..placement.draft import DATA, HostDraft, ServiceDraft
from .base import check

_GIB = 2**30

# A GPU reports slightly less memory than its name states.
_NEARLY = 0.95


@check()
def variants_exist(host: HostDraft) -> Iterator[PlanError]:
    """The catalogue entry of the model has the service's profile and preset."""
    for draft in host.services:
        if draft.entry is None:
            continue
        asked: dict[str, tuple[str | None, Mapping[str, object]]] = {
            "profile": (draft.service.profile, draft.entry.profiles),
            "preset": (draft.service.preset, draft.entry.presets),
        }
        for key, (name, known) in asked.items():
            if name is not None and name not in known:
                otherwise = f"it has {', '.join(known)}" if known else f"remove it: it has no {key}s"
                yield PlanError(host.name, draft.label, key, shown(name), f"{draft.entry.name} has no {key} of this name", did_you_mean(name, known, otherwise))


@check()
def profile_fits_the_gpus(host: HostDraft) -> Iterator[PlanWarning]:
    """A service has the GPUs of its profile: as many, and with as much memory."""
    for draft in host.services:
        profile = draft.profile
        if profile is None or draft.gpus is None:
            continue
        each = f" on each of {profile.nodes} hosts" if profile.nodes > 1 else ""
        what = f"the profile {profile.name} is for {profile.gpus} x {profile.gpu or 'GPU'}{each}"
        have = draft.gpu_count
        if have < profile.gpus:
            yield PlanWarning(host.name, draft.label, f"{what}, and the service has {have}")
        nodes = draft.service.distributed.nodes if draft.service.distributed is not None else 1
        if nodes is not None and nodes < profile.nodes:
            backend = ", backend: mp" if DATA in profile.arguments else ""
            over = f"runs on {nodes}" if nodes > 1 else f"runs on one; write distributed: {{nodes: {profile.nodes}{backend}}}"
            yield PlanWarning(host.name, draft.label, f"{what}, and the service {over}")
        smallest = _smallest_memory(host, draft)
        if profile.gpu_memory_gib and smallest and smallest < profile.gpu_memory_gib * _GIB * _NEARLY:
            yield PlanWarning(host.name, draft.label, f"{what} with {profile.gpu_memory_gib} GiB each, and one of the service's has {smallest / _GIB:.1f} GiB")


def _smallest_memory(host: HostDraft, draft: ServiceDraft) -> int:
    """Memory of the service's smallest GPU in bytes; 0 when unknown."""
    used = set(draft.gpus or ())
    known = [gpu.memory_bytes for gpu in host.gpus or () if gpu.index in used and gpu.memory_bytes]
    return min(known, default=0)
