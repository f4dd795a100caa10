# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue/green updates that a run has not finished."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils import _green
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import warning

from .host import Findings, Host


def check(host: Host) -> Findings:
    """The new engine of an update still runs beside the service, or in its place."""
    for unit in host.facts.get("green_units", ()):
        cause = (
            f"{unit}, the new engine of an update, is there beside the service: a run goes on, or an earlier one has died; the next run of site.yml completes "
            "the update, or removes the engine when the service serves"
        )
        yield warning("update-unfinished", cause, f"systemctl status {unit}", _green.service_of(unit))
