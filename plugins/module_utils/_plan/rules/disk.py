# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk space: enough for the weights that are not there yet."""

from __future__ import annotations

from typing import Iterator

from ..draft import HostDraft
from ..faults import Fault


def weights_fit(host: HostDraft) -> Iterator[Fault]:
    """All weights still to come fit on their file system, and the reserve stays free."""
    if host.facts is None or not host.settings.plan_check_disk:
        return
    missing: dict[str, int] = {}
    for draft in host.services:
        weights = draft.weights
        if weights is not None and weights.bytes and not weights.is_local and weights.path not in host.facts.weights:
            missing[weights.path] = max(0, weights.bytes - host.facts.partial_weights.get(weights.path, 0))
    mount = host.facts.mount_of(host.settings.weights_dir)
    if not missing or mount is None:
        return
    wanted = sum(missing.values())
    reserve = host.settings.weights_disk_reserve
    if wanted + reserve > mount.free_bytes:
        labels = [draft.label for draft in host.services if draft.weights is not None and draft.weights.path in missing]
        why = f"the weights still to download take {gigabytes(wanted)} and {gigabytes(reserve)} is to stay free"
        yield Fault(
            host.name,
            ", ".join(labels),
            "weights_dir",
            host.settings.weights_dir,
            f"{why}, but {mount.mount} has {gigabytes(mount.free_bytes)} left",
            "make room, or set weights_dir to a larger file system; where a mirror serves other sizes than the Hub, set plan_check_disk: false",
        )


def gigabytes(count: int) -> str:
    """Bytes in GB (10^9 bytes), with one decimal."""
    return f"{count / 1e9:.1f} GB"
