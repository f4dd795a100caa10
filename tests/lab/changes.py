# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes of a multi-node service, and what of it is on both hosts."""

from __future__ import annotations

from typing import Any

from pair import Pair


def with_service(name: str, pair: Pair, **keys: Any) -> dict[str, Any]:
    """Extra variables with the service, which the inventory has in the variable O(name), changed in these keys."""
    return {name: {**pair.service, **keys}}


def files(pair: Pair) -> dict[str, str]:
    """Checksums of all units and environment files on both hosts."""
    command = "sha256sum /etc/systemd/system/vllm-pair.service /etc/systemd/system/ray-*.service /etc/inferops/*.env 2>/dev/null"
    return {name: host.run(command).stdout for name, host in (("head", pair.head), ("worker", pair.worker))}
