# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables of services."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanWarning
from ..placement.draft import HostDraft
from ..vllm import arguments as args
from .base import check


@check()
def environment_variables_exist(host: HostDraft) -> Iterator[PlanWarning]:
    """vLLM knows each VLLM_ variable: it silently ignores misspelt and removed ones."""
    for draft in host.services:
        for name in (*draft.environment, *(name for name in draft.service.secret_names if name not in draft.environment)):
            if not name.startswith("VLLM_"):
                continue
            answer = host.flags.ask("environment", name, draft.version)
            if answer.state == "known":
                continue
            near = host.flags.nearest("environment", name, draft.version)
            what = {"gone": f"was removed in {answer.since}", "not yet": f"exists since {answer.since}"}.get(answer.state, "is unknown to it")
            hint = f"; similar names: {', '.join(near)}" if near and answer.state == "unknown" else ""
            if answer.state == "gone" and name in args.RETIRED_VARIABLES:
                hint = f"; {args.RETIRED_VARIABLES[name]}"
            yield PlanWarning(host.name, draft.label, f"vLLM {draft.version.text} ignores the environment variable {name}: it {what}{hint}")
