# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU memory: the weights load, and one request of the full context fits beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, Union

from ..errors import PlanError, PlanWarning
from ..models.memory import BLOCK, GIB, Estimate
from ..models.parallel import Parallel
from ..placement.draft import HostDraft, ServiceDraft
from ..placement.layout import fits
from ..placement.sizing import Question, context_of, question_of
from .base import check
from .layout import blocks_are_refined

Finding = Union[PlanError, PlanWarning]

# Nobody wants to be offered a context shorter than this, in tokens.
_USEFUL = 2048

# What is offered: GPUs come by powers of 2, and a host has as many as this.
_SIZES = (1, 2, 4, 8, 16, 32)
_STAGES = (1, 2, 4)
_HOST = 8

# The largest share that is offered: the rest is for the driver, other processes and what vLLM does not count.
_MOST = 0.95


@check(accept="memory")
def model_fits_gpu_memory(host: HostDraft) -> Iterator[Finding]:
    """vLLM needs room for the weights and for one request of max_model_len tokens, else it ends after loading.

    An error when half of the estimated reserve would not do either; a warning when it is that close.
    """
    for draft in host.services:
        question = question_of(host, draft)
        found = question.answer() if question else None
        if question is None or found is None:
            continue
        tokens = context_of(draft) or BLOCK
        short = found.short_of(tokens)
        if short <= 0:
            continue
        if found.hopeful().short_of(tokens) > 0:
            key, value = _place(draft, found, tokens)
            fix = _ways_out(host, draft, question, found, tokens)
            yield PlanError(host.name, draft.label, key, value, _account(question, found, tokens, short), fix)
        else:
            longest = found.longest()
            hint = f"; sure to fit are about {longest} tokens" if longest >= _USEFUL else ""
            yield PlanWarning(host.name, draft.label, f"its memory is about to run short: {_account(question, found, tokens, short)}{hint}")


@check(accept="gpu-memory")
def gpu_memory_is_known(host: HostDraft) -> Iterator[PlanWarning]:
    """A GPU that shares the host's memory names none of its own: then nothing can be held against it."""
    for draft in host.services:
        used = set(draft.gpus or ())
        for gpu in host.gpus or () if not draft.on_cpu and host.facts is not None else ():
            if gpu.index in used and gpu.name and not gpu.memory_bytes:
                what = f"nvidia-smi does not say how much memory GPU {gpu.index} ({gpu.name}) has, so the model is not held against it"
                yield PlanWarning(host.name, draft.label, f"{what}; state it in plan_gpus: [{{index: {gpu.index}, memory_bytes: …}}]")
                break


def _place(draft: ServiceDraft, found: Estimate, tokens: int) -> tuple[str, str]:
    """Where the reader has to look: at the context when it is what is too large, else at the GPUs."""
    if found.hopeful().kv_room > 0:
        stated = "max_model_len" in draft.given
        return "vllm_args.max_model_len", str(tokens) if stated else f"{tokens} (the model's own)"
    return "gpus", "all" if draft.service.gpus is None else ", ".join(str(index) for index in draft.service.gpus)


def _account(question: Question, found: Estimate, tokens: int, short: int) -> str:
    """The sum, for people who want to follow it."""
    if found.kv_cache_bytes is not None:
        return f"one request of {tokens} tokens needs {gib(found.kv_of(tokens))} of KV cache on each GPU, and kv_cache_memory_bytes gives {gib(found.kv_room)}"
    share = f"vLLM may use {gib(found.budget)} of a GPU's {gib(found.total)} (gpu_memory_utilization {question.demand.utilization:g})"
    drafting = f", {gib(found.drafter)} of them those of {question.drafter.repo}, which drafts" if question.drafter is not None and found.drafter else ""
    parts = f"the weights take {gib(found.weights)}{drafting}, and activations, CUDA graphs and buffers about {gib(found.reserve)}"
    if found.kv_room <= 0:
        return f"{share}; {parts}: {gib(-found.kv_room)} too much before any KV cache"
    need = f"one request of {tokens} tokens needs {gib(found.kv_of(tokens))} of KV cache and {gib(found.kv_room)} are left: {gib(short)} too little"
    return f"{share}; {parts}; {need}"


def _ways_out(host: HostDraft, draft: ServiceDraft, question: Question, found: Estimate, tokens: int) -> str:
    ways = []
    longest = min(found.longest(), tokens)
    if longest >= _USEFUL:
        ways.append(f"set max_model_len to {longest} or less")
    demand = question.demand
    if found.kv_cache_bytes is not None:
        return "; or ".join([*ways, "leave kv_cache_memory_bytes out"])
    if demand.kv_dtype == "auto" and _fits(question.answer(demand=replace(demand, kv_dtype="fp8")), tokens):
        ways.append("halve the KV cache with kv_cache_dtype: fp8")
    if demand.utilization < _MOST and _fits(question.answer(demand=replace(demand, utilization=_MOST)), tokens):
        ways.append(f"set gpu_memory_utilization to {_MOST:g}")
    if question.drafter is not None and _fits(question.answer(drafter=None), tokens):
        ways.append(f"take {', '.join(key for key in draft.given if key.startswith(('spec_', 'speculative_config')))} out")
    refines = blocks_are_refined(host, draft)
    larger = _smallest(question, tokens, refines)
    if larger is not None:
        ways.append(f"{'spread it otherwise' if larger.world == question.parallel.world else f'use {larger.world} such GPUs'} ({larger.to_text()})")
    sibling = _sibling(host, draft, question, tokens)
    if sibling:
        ways.append(sibling)
    if not ways:
        smaller = _smallest(question, _USEFUL, refines)
        ways.append(f"use {smaller.world} such GPUs ({smaller.to_text()}) and a shorter context" if smaller else "use more or larger GPUs")
    return "; or ".join(ways)


def _smallest(question: Question, tokens: int, refines: bool) -> Parallel | None:
    """The fewest GPUs that do, no fewer than now: by another split of the same ones, more tensor parallel ranks or more pipeline stages."""
    now = question.parallel
    ways = [replace(now, tensor=size, pipeline=stages, data=data) for size in _SIZES for stages in _STAGES for data in sorted({1, now.data})]
    # Within a host tensor parallel comes before stages, over hosts it is the other way round.
    for way in sorted(ways, key=lambda way: (way.world, max(way.tensor, _HOST), way.pipeline, -way.tensor)):
        larger = way.world >= now.world and way.pipeline >= now.pipeline and way != now
        if larger and fits(question.model, way, refines) and _fits(question.answer(parallel=way, partition=None), tokens):
            return way
    return None


def _sibling(host: HostDraft, draft: ServiceDraft, question: Question, tokens: int) -> str:
    """The entry in a smaller type, where it fits in place of this one."""
    name = draft.entry.quantised_sibling if draft.entry else ""
    entry = host.catalogue.entries.get(name)
    if entry is None or entry.unsupported or not fits(entry.architecture, question.parallel, blocks_are_refined(host, draft)):
        return ""
    found = question.answer(model=entry.architecture, disk=entry.bytes)
    if found is None or found.kv_room <= 0:
        return ""
    if found.short_of(tokens) <= 0:
        return f"serve {name}"
    longest = found.longest()
    return f"serve {name} with max_model_len {longest} or less" if longest >= _USEFUL else ""


def _fits(found: Estimate | None, tokens: int) -> bool:
    return found is not None and found.short_of(tokens) <= 0


def gib(count: int) -> str:
    """Bytes in GiB (2^30 bytes), with one decimal."""
    return f"{count / GIB:.1f} GiB"
