# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data parallel on one host: all ranks run there. On several hosts: data_parallel_hosts.py."""

from __future__ import annotations

from typing import Iterator

from ..errors import PlanError, shown
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm import arguments as args
from .base import check

# Arguments that place ranks on other hosts, the clearest first.
_ELSEWHERE = (
    "data_parallel_size_local", "data_parallel_rank", "data_parallel_external_lb", "data_parallel_hybrid_lb", "data_parallel_start_rank",
    "data_parallel_address",
)
_WAYS = "distributed: {nodes: …, backend: mp} distributes the ranks of data_parallel_size over them"


@check(accept="data-parallel-hosts")
def data_parallel_ranks_are_local(host: HostDraft) -> Iterator[PlanError]:
    """All data parallel ranks of a service without C(distributed) run on its host: the engine waits for all of them, and nothing starts the others."""
    for draft in host.services:
        size = args.size(draft.given, "data_parallel_size")
        here = None if draft.is_distributed else _here(draft)
        if size is None or here is None or here >= size:
            continue
        key = next((name for name in _ELSEWHERE if name in draft.given), "data_parallel_size")
        why = f"{here} of the {size} data parallel ranks would run here, and the engine would wait for the others, which no service starts"
        there = ", ".join(name for name in _ELSEWHERE if name in draft.given)
        size_here = f" and write data_parallel_size: {here}" if here > 1 else " and data_parallel_size"
        fix = f"remove {there}{size_here}, for ranks on this host only; on several hosts: {_WAYS}"
        yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(draft.given.get(key), key), why, fix)


def _here(draft: ServiceDraft) -> int | None:
    """How many ranks run on the host; None when the arguments do not give a number."""
    given = draft.given
    if given.get("data_parallel_rank") is not None or given.get("data_parallel_external_lb") is True:
        return 1
    if given.get("data_parallel_size_local") is None:
        return args.size(given, "data_parallel_size")
    return args.size(given, "data_parallel_size_local")
