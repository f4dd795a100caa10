# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes of a multi-node service, and what of it is on both hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab import Play
from pair import Pair


def with_service(name: str, pair: Pair, **keys: Any) -> dict[str, Any]:
    """Extra variables with the service, which the inventory has in the variable O(name), changed in these keys."""
    return {name: {**pair.service, **keys}}


def files(pair: Pair) -> dict[str, str]:
    """Checksums of all units and environment files on both hosts."""
    command = "sha256sum /etc/systemd/system/vllm-pair.service /etc/systemd/system/ray-*.service /etc/inferops/*.env 2>/dev/null"
    return {name: host.run(command).stdout for name, host in (("head", pair.head), ("worker", pair.worker))}


def assert_that_nothing_is_left_to_do(pair: Pair, play: Callable[..., Play]) -> Play:
    """A second run changes nothing, and restarts nothing; returns it."""
    before = pair.runs()
    done = play()
    assert done.status == 0, done.output
    assert all(counts["changed"] == 0 for counts in done.recap.values()), done.output
    assert pair.runs() == before
    return done


def assert_that_ray_is_gone(pair: Pair) -> None:
    """Neither units of Ray nor its processes are on the hosts."""
    assert pair.units(pair.head) == pair.units(pair.worker) == ["vllm-pair.service"]
    for host in (pair.head, pair.worker):
        assert host.check_output("systemctl list-units --all --no-legend 'ray-*'") == ""
        assert pair.count(host, "raylet/raylet") == pair.count(host, "gcs_server") == 0
