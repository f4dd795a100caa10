# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replicas: the same service on several hosts, each with an engine of its own. They change one after the other (roles/model_service/tasks/rollout.yml)."""

from __future__ import annotations

from typing import Iterable

from .draft import HostDraft


def replicas_of(hosts: Iterable[HostDraft]) -> dict[str, list[str]]:
    """By service the hosts of its replicas, in the order of the inventory. The nodes of a multi-node service are one replica, and are not listed."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for draft in host.services:
            if not draft.is_distributed:
                found.setdefault(str(draft.service.name), []).append(host.name)
    return found
