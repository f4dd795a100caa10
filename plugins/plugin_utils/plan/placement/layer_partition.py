# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipeline stages on GPUs of different memory: the GPU of each stage, and how many layers it gets (VLLM_PP_LAYER_PARTITION).

vLLM gives each stage the same number of layers, and each stage keeps the cache of as many tokens as the one with the least room. So stages on larger GPUs
get more layers, until moving a layer no longer helps the tightest stage.
"""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from ..inputs.distributed import RAY, NodePlacement
from ..inputs.facts import Gpu
from ..models.memory import Estimate
from ..models.parallel import Parallel

VARIABLE = "VLLM_PP_LAYER_PARTITION"

# GPUs whose memory differs by less count as alike: the same model reports slightly different sizes by driver and form factor.
_ALIKE = 0.95

# The estimates of all stages with a number of layers for each; None when too little is known.
Estimates = Callable[[str], Optional[Sequence[Estimate]]]


def stage_gpus(placement: NodePlacement, smallest: Sequence[Gpu | None], parallel: Parallel) -> tuple[Gpu, ...]:
    """The smallest GPU of each pipeline stage; empty where the nodes' GPUs are alike or unknown, and where a stage spans nodes.

    :param smallest: the smallest GPU of each node
    """
    known = [gpu for gpu in smallest if gpu is not None and gpu.memory_bytes]
    counts = placement.gpus
    ranks = parallel.tensor * parallel.prefill_context
    if placement.data_ranks or parallel.pipeline == 1 or len(known) < len(counts) or any(not count or count % ranks for count in counts):
        return ()
    if min(gpu.memory_bytes for gpu in known) >= _ALIKE * max(gpu.memory_bytes for gpu in known) or sum(counts) != ranks * parallel.pipeline:
        return ()
    if placement.backend == RAY:
        # The head has the first stages. Ray orders the other nodes by their ids (vLLM 0.32.0, v1/executor/ray_utils.py, get_bundles_sorted_by_node).
        least = min(known[1:], key=lambda gpu: gpu.memory_bytes)
        known = [known[0], *(least for _other in known[1:])]
    return tuple(gpu for gpu, count in zip(known, counts) for _stage in range(count // ranks))


def partition(layers: Sequence[int], estimates: Estimates) -> str | None:
    """The value of the variable with the most room in the tightest stage, from the usual number of C(layers) of each stage on; None when these are the best,
    or when too little is known."""
    best, room = list(layers), _least_room(estimates(_text(layers)))
    if room is None:
        return None
    for _step in range(sum(layers)):
        tight = room[1]
        moved = [_moved(best, tight, other) for other in range(len(best)) if other != tight and best[tight] > 1]
        found = [(after, candidate) for candidate in moved if (after := _least_room(estimates(_text(candidate)))) is not None]
        if not found or max(after[0] for after, _candidate in found) <= room[0]:
            break
        room, best = max(found, key=lambda pair: pair[0][0])
    return _text(best) if best != list(layers) else None


def _least_room(found: Sequence[Estimate] | None) -> tuple[float, int] | None:
    """The room of the tightest stage, in tokens or in bytes where the cache is unknown, and its position."""
    if not found:
        return None
    return min((stage.kv_room / max(1.0, stage.token + stage.window_token), position) for position, stage in enumerate(found))


def _moved(layers: Sequence[int], source: int, target: int) -> list[int]:
    return [count - (position == source) + (position == target) for position, count in enumerate(layers)]


def _text(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers))
