# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from the controller that a service uses."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanWarning
from ..inputs.service_files import placed
from ..placement.draft import HostDraft
from .base import check


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
