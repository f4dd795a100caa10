# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ranks of an engine on Ray: real actors in a placement group, one GPU each."""

from __future__ import annotations

import os

from . import answers
from .channel import hang
from .log import log


class RayWorkerProc:
    """A rank. Ray gives its process the title C(ray::RayWorkerProc), like vLLM's."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def step(self, state: bytes) -> bytes:
        """Pass a state through this rank."""
        return answers.advance(state, self._rank)


class RayRanks:
    """All ranks, as actors of the cluster that RAY_ADDRESS names."""

    def __init__(self, world: int) -> None:
        import ray
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._ray = ray
        ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, configure_logging=False)
        group = placement_group([{"GPU": 1}] * world, strategy="PACK")
        log("EngineCore", "waiting for creating a placement group", source="ray_utils.py:1")
        group.wait(1800)
        remote = ray.remote(num_cpus=0, num_gpus=1)(RayWorkerProc)
        self._actors = [
            remote.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)).remote(rank) for rank in range(world)
        ]
        # An answer of each: all of them are there.
        ray.get([actor.step.remote(b"") for actor in self._actors])

    def step(self, state: bytes) -> bytes:
        """Pass a state through all ranks. Never returns when one of them has ended: vLLM waits for it."""
        try:
            passed = state
            for actor in self._actors:
                passed = actor.step.remote(passed)
            found: bytes = self._ray.get(passed)
            return found
        except self._ray.exceptions.RayError:
            hang()
