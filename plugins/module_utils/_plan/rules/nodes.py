# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service over several hosts, as far as one of its hosts can tell by itself."""

from __future__ import annotations

from typing import Iterator

from ..distributed import MP
from ..draft import HostDraft
from ..faults import Fault, did_you_mean, shown

# Arguments that a service over several hosts does not take: why, and what to do instead.
_BACKEND = ("the plan gives this flag itself", "say it with distributed.backend")
_REFUSED: dict[str, tuple[str, str]] = {
    "distributed_executor_backend": _BACKEND,
    **{
        key: ("a service over several hosts spreads one copy of the model, with tensor and pipeline parallel", "take it out, or serve a copy on each host")
        for key in ("data_parallel_size", "data_parallel_size_local", "data_parallel_address", "data_parallel_backend", "data_parallel_start_rank")
    },
}


def interface_is_there(host: HostDraft) -> Iterator[Fault]:
    """The network interface that a service names is one of the host's, with an address."""
    if host.facts is None or not host.facts.interfaces:
        return
    there = host.facts.interfaces
    for draft in host.services:
        wanted = draft.service.distributed.interface if draft.service.distributed is not None else None
        if wanted is not None and wanted not in there:
            why = "the host has no network interface of this name with an IPv4 address"
            remedy = did_you_mean(wanted, there, f"choose among {', '.join(there)}; where hosts differ, let a variable of each say it")
            yield Fault(host.name, draft.label, "distributed.interface", shown(wanted), why, remedy)


def arguments_suit_several_hosts(host: HostDraft) -> Iterator[Fault]:
    """Nothing among the arguments goes against running over several hosts."""
    for draft in host.services:
        if not draft.is_distributed:
            continue
        for key, (why, remedy) in _REFUSED.items():
            if key in draft.given and draft.given[key] != 1:
                yield Fault(host.name, draft.label, f"vllm_args.{key}", shown(draft.given[key], key), why, remedy)


def version_knows_several_hosts(host: HostDraft) -> Iterator[Fault]:
    """vLLM's own processes over several hosts came with the flag --nnodes."""
    for draft in host.services:
        if draft.service.distributed is None or draft.service.distributed.backend != MP:
            continue
        answer = host.flags.ask("flags", "--nnodes", draft.version)
        if answer.state == "not yet":
            why = f"vLLM runs over several hosts by itself since {answer.since}"
            remedy = f"write backend: ray, or set vllm_version to {answer.since} or newer"
            yield Fault(host.name, draft.label, "distributed.backend", MP, f"{why}, and this is {draft.version.text}", remedy)
