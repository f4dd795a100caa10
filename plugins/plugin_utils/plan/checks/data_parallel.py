# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data parallel: all ranks are on the service's own host."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from .base import check

# What says that ranks are elsewhere, the most telling first.
_ELSEWHERE = (
    "data_parallel_size_local", "data_parallel_rank", "data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_start_rank",
    "data_parallel_address",
)
_WAYS = "a copy of the model on each host behind a load balancer, or, with distributed, one copy over several hosts by tensor and pipeline parallel"


@check(accept="data-parallel-hosts")
def data_parallel_ranks_are_local(host: HostDraft) -> Iterator[PlanError]:
    """An engine waits for all of its data parallel ranks, and nothing starts those of other hosts, or opens the ports between them."""
    for draft in host.services:
        size = args.size(draft.given, "data_parallel_size")
        here = None if draft.is_distributed else _here(draft)
        if size is None or here is None or here >= size:
            continue
        key = next((name for name in _ELSEWHERE if name in draft.given), "data_parallel_size")
        why = f"{here} of the {size} data parallel ranks would run here, and the engine waits for the others, which no service starts"
        fits = f"data_parallel_size: {here}" if here > 1 else "data_parallel_size out"
        there = ", ".join(name for name in _ELSEWHERE if name in draft.given)
        fix = f"take {there} out" + (f" and write {fits}" if here > 1 else f", and {fits}") + f", for ranks on this host alone; over several hosts: {_WAYS}"
        yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(draft.given.get(key), key), why, fix)


def _here(draft: ServiceDraft) -> int | None:
    """How many ranks run on the host; None where that is not said with a number."""
    given = draft.given
    if given.get("data_parallel_rank") is not None or given.get("data_parallel_external_lb") is True:
        return 1
    if given.get("data_parallel_size_local") is None:
        return args.size(given, "data_parallel_size")
    return args.size(given, "data_parallel_size_local")
