# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How ranks on CPUs talk to each other."""

from __future__ import annotations

import socket

import torch
from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator


class LabCpuCommunicator(CpuCommunicator):
    """Through shared memory, but only on one host: vLLM's own check compares names, which are the same on two hosts under Ray."""

    def _all_group_ranks_share_shm_group_name(self) -> bool:
        hosts = [""] * self.world_size
        torch.distributed.all_gather_object(hosts, socket.gethostname(), group=self.device_group)
        return len(set(hosts)) == 1 and super()._all_group_ranks_share_shm_group_name()

    # What data parallel ranks exchange in each layer with experts. vLLM 0.32 has these two for GPUs only.

    def all_gatherv(self, input_: torch.Tensor | list[torch.Tensor], dim: int = 0, sizes: list[int] | None = None) -> torch.Tensor | list[torch.Tensor]:
        """The tensors of all ranks, which have these numbers of rows, one after the other."""
        if isinstance(input_, list):
            return [self._gather_rows(tensor, sizes) for tensor in input_]
        return self._gather_rows(input_, sizes)

    def _gather_rows(self, tensor: torch.Tensor, sizes: list[int] | None) -> torch.Tensor:
        counts = sizes or [len(tensor)] * self.world_size
        # Gloo gathers tensors of one size only.
        padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
        found = [torch.empty_like(padded) for _count in counts]
        torch.distributed.all_gather(found, padded, group=self.device_group)
        return torch.cat([rows[:count] for rows, count in zip(found, counts)])

    def reduce_scatterv(self, input_: torch.Tensor, dim: int = -1, sizes: list[int] | None = None) -> torch.Tensor:
        """This rank's rows of the sum over all ranks."""
        counts = sizes or [len(input_) // self.world_size] * self.world_size
        total = input_.clone()
        torch.distributed.all_reduce(total, group=self.device_group)
        return total[sum(counts[: self.rank_in_group]) :][: counts[self.rank_in_group]].clone()
