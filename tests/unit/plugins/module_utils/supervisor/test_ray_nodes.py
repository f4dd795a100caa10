# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Ray cluster lacks before an engine may start on it, in the order in which it is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils.supervisor.ray_nodes import counts, lacking

NODES = {"head": "10.0.0.1", "worker": "10.0.0.2"}


class Ray:
    """What the module asks of Ray, with these nodes and so many GPUs free."""

    def __init__(self, nodes: list[dict[str, Any]], free: float) -> None:
        self._nodes, self._free = nodes, free

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def available_resources(self) -> dict[str, float]:
        return {"GPU": self._free} if self._free else {}


def node(address: str, gpus: float = 2, alive: bool = True) -> dict[str, Any]:
    """A node as Ray reports it; one without GPUs has no such resource."""
    return {"NodeManagerAddress": address, "Alive": alive, "Resources": {"CPU": 8.0, **({"GPU": gpus} if gpus else {})}}


HEAD, WORKER = node("10.0.0.1"), node("10.0.0.2")


def test_nodes_of_different_sizes() -> None:
    """Each has its own number, and all of them together have to be free."""
    gpus = counts("2,1", NODES)
    assert gpus == {"head": 2, "worker": 1} and counts("2", NODES) == {"head": 2, "worker": 2}
    assert lacking(Ray([HEAD, node("10.0.0.2", gpus=1)], 3), NODES, gpus) == ""
    assert lacking(Ray([HEAD, node("10.0.0.2", gpus=1)], 2), NODES, gpus) == "waiting for free GPUs in Ray: 2 of 3"
    assert lacking(Ray([HEAD, WORKER], 4), NODES, gpus) == "waiting for GPUs in Ray: worker has 2 of 1"


@pytest.mark.parametrize(("nodes", "free", "said"), [
    ([HEAD, WORKER], 4, ""),
    # A dead node that came back is there twice.
    ([HEAD, node("10.0.0.2", alive=False), WORKER], 4, ""),
    ([HEAD], 2, "waiting for Ray's node worker (10.0.0.2)"),
    ([], 0, "waiting for Ray's node head (10.0.0.1), worker (10.0.0.2)"),
    ([HEAD, node("10.0.0.2", alive=False)], 2, "waiting for Ray's node worker (10.0.0.2)"),
    ([HEAD, WORKER, node("10.0.0.9")], 6, "Ray has nodes that do not belong to this service: 10.0.0.9"),
    ([HEAD, WORKER, node("10.0.0.9", alive=False)], 4, ""),
    ([HEAD, node("10.0.0.2", gpus=1)], 3, "waiting for GPUs in Ray: worker has 1 of 2"),
    ([HEAD, node("10.0.0.2", gpus=0)], 2, "waiting for GPUs in Ray: worker has 0 of 2"),
    ([HEAD, node("10.0.0.2", gpus=3)], 5, "waiting for GPUs in Ray: worker has 3 of 2"),
    # The engine of a generation before still holds one, or all.
    ([HEAD, WORKER], 3, "waiting for free GPUs in Ray: 3 of 4"),
    ([HEAD, WORKER], 0, "waiting for free GPUs in Ray: 0 of 4"),
])
def test_what_is_lacking(nodes: list[dict[str, Any]], free: float, said: str) -> None:
    assert lacking(Ray(nodes, free), NODES, counts("2", NODES)) == said
