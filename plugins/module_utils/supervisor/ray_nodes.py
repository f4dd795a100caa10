# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until a Ray cluster has all nodes with all GPUs free, and prints what it waits for. Runs in the release's own Python, which has Ray.

    supervisor.ray_nodes HOST:PORT GPUS NAME=ADDRESS...

C(GPUS) is a number for all nodes, or one for each of them, separated by commas.
"""

from __future__ import annotations

import sys
import time
import typing as t

LOOK_SECONDS = 1.0


def counts(text: str, nodes: t.Iterable[str]) -> dict[str, int]:
    """Return how many GPUs each node has, by its name."""
    names = list(nodes)
    numbers = [int(number) for number in text.split(",")]
    return dict(zip(names, numbers if len(numbers) > 1 else numbers * len(names)))


def lacking(ray: t.Any, nodes: dict[str, str], gpus: dict[str, int]) -> str:
    """Return what is missing, for messages; empty when nothing is. C(nodes) are addresses by name, C(gpus) how many each has."""
    alive = {node["NodeManagerAddress"]: node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]}
    missing = [f"{name} ({address})" for name, address in nodes.items() if address not in alive]
    if missing:
        return f"waiting for Ray's node {', '.join(missing)}"
    others = sorted(set(alive) - set(nodes.values()))
    if others:
        return f"Ray has nodes that do not belong to this service: {', '.join(others)}"
    short = [f"{name} has {alive[address]:g} of {gpus[name]}" for name, address in nodes.items() if alive[address] != gpus[name]]
    if short:
        return f"waiting for GPUs in Ray: {', '.join(short)}"
    free = ray.available_resources().get("GPU", 0)
    wanted = sum(gpus.values())
    return f"waiting for free GPUs in Ray: {free:g} of {wanted}" if free < wanted else ""


def main() -> None:
    """Wait until nothing is missing."""
    import ray

    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
    nodes = dict(word.split("=", 1) for word in sys.argv[3:])
    gpus = counts(sys.argv[2], nodes)
    said = None
    while True:
        lack = lacking(ray, nodes, gpus)
        if not lack:
            print(f"Ray {ray.__version__} has {', '.join(f'{name} with {number} GPUs' for name, number in gpus.items())}", flush=True)
            return
        if lack != said:
            said = lack
            print(lack, flush=True)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
