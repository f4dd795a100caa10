# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts that the host could not report. The plan does not guess them."""

from __future__ import annotations

from typing import Iterator, Union

from ..errors import PlanError, PlanWarning
from ..placement.draft import HostDraft
from .base import check

Finding = Union[PlanError, PlanWarning]

_LOOK = "check the host (findmnt; after the loss of a file server: umount --force --lazy), and run the play again"


@check()
def facts_are_complete(host: HostDraft) -> Iterator[Finding]:
    """The host reported all facts. An unreadable directory is not an empty one, and a mount without its server blocks every process that uses it."""
    if host.facts is None:
        return
    settings = host.settings
    used = {
        "weights_dir": settings.weights_dir, "vllm_releases_dir": settings.vllm_releases_dir, "host_install_dir": settings.host_install_dir,
        "host_state_dir": settings.host_state_dir, "host_cache_dir": settings.host_cache_dir, "host_config_dir": settings.host_config_dir,
        "host_home": settings.host_home,
    }
    for name, why in host.facts.unanswered.items():
        below = [key for key, path in used.items() if name.startswith("/") and f"{path}/".startswith(name.rstrip("/") + "/")]
        if below:
            yield PlanError(host.name, "", below[0], used[below[0]], f"it is on the file system at {name}: {why}", _LOOK)
        elif name.startswith("/"):
            yield PlanWarning(host.name, "", f"the file system at {name} is not usable: {why}; {_LOOK}")
        else:
            yield PlanError(host.name, "", f"facts.{name}", "", f"the host could not report this: {why}", _LOOK)
