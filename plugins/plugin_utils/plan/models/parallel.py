# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parallel sizes of a service from its arguments, and the layers of each pipeline stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping

from ..vllm import arguments as args


@dataclass(frozen=True)
class Parallel:
    """Parallel sizes, each a number of ranks. C(expert): ranks have whole experts instead of a slice of each."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    prefill_context: int = 1
    decode_context: int = 1
    expert: bool = False

    @property
    def moe_ranks(self) -> int:
        """Ranks that share the experts of a layer: vLLM flattens tensor, data and prefill context parallel into one group for them."""
        return self.tensor * self.data * self.prefill_context

    @property
    def expert_slices(self) -> int:
        """The number of slices of each expert."""
        return 1 if self.expert else self.moe_ranks

    @property
    def world(self) -> int:
        """The total number of GPUs."""
        return self.tensor * self.pipeline * self.data * self.prefill_context

    def with_tensor(self, tensor: int) -> Parallel:
        """The sizes with another tensor parallel size."""
        return replace(self, tensor=tensor)

    def to_text(self) -> str:
        """The sizes above 1 as text for messages."""
        named = {
            "tensor_parallel_size": self.tensor,
            "pipeline_parallel_size": self.pipeline,
            "data_parallel_size": self.data,
            "prefill_context_parallel_size": self.prefill_context,
        }
        found = [f"{name} {size}" for name, size in named.items() if size > 1 or name == "tensor_parallel_size"]
        return " x ".join(found) + (" with enable_expert_parallel" if self.expert else "")


def parallel_of(arguments: Mapping[str, Any]) -> Parallel | None:
    """The sizes in the arguments; None when one of them is not a positive integer."""
    sizes = [args.size(arguments, f"{name}_parallel_size") for name in ("tensor", "pipeline", "data", "prefill_context", "decode_context")]
    tensor, pipeline, data, prefill_context, decode_context = sizes
    if tensor is None or pipeline is None or data is None or prefill_context is None or decode_context is None:
        return None
    return Parallel(tensor, pipeline, data, prefill_context, decode_context, arguments.get("enable_expert_parallel") is True)


def stages(layers: int, pipeline: int, partition: str | None = None) -> list[int] | None:
    """Layers of each pipeline stage, first to last.

    As in vLLM (distributed/utils.py, get_pp_indices): remaining layers go to the stages before the last, one each.

    :param partition: the environment variable VLLM_PP_LAYER_PARTITION, numbers separated by commas
    :returns: None when the partition does not match the numbers of layers and stages
    """
    if partition is not None:
        parts = [part.strip() for part in partition.split(",")]
        if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
            return None
        found = [int(part) for part in parts]
        return found if len(found) == pipeline and sum(found) == layers else None
    if pipeline > layers:
        return None
    found = [layers // pipeline] * pipeline
    for position in range(2, layers % pipeline + 2):
        found[-position] += 1
    return found
