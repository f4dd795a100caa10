# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of files that are brought for a service."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanWarning
from ..inputs.service_files import placed
from ..placement.draft import HostDraft
from .base import check


@check()
def files_are_used(host: HostDraft) -> Iterator[PlanWarning]:
    """A file that neither an argument nor a variable names is of no use: most likely the two names differ."""
    for draft in host.services:
        service = draft.service
        said = (service.vllm_args, service.transformers_args, service.environment)
        for file in service.files:
            if all(placed(part, (file,), "") == placed(part, (), "") for part in said):
                yield PlanWarning(
                    host.name,
                    service.label,
                    f"files has {file.name}, and neither an argument nor a variable of the service names it; write the name as it stands in files, "
                    f"for example chat_template: {file.name}",
                )
