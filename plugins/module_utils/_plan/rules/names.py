# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: what units, files and directories are called after."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

from ..draft import HostDraft
from ..faults import Fault


def names_are_unique(host: HostDraft) -> Iterator[Fault]:
    """Each service of a host has a name of its own."""
    everyone = [draft.service for draft in host.services] + list(host.absent)
    for name, count in Counter(service.name for service in everyone if service.name).items():
        if count > 1:
            yield Fault(host.name, name, "name", name, f"{count} services of the host have this name, and a name means one unit", "give each a name of its own")
