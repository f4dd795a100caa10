# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is removed, and shown, of services that no plan knows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.filter import orphaned_units

SETTINGS = {
    "host_config_dir": "/etc/inferops", "host_state_dir": "/var/lib/inferops", "host_cache_dir": "/var/cache/inferops", "multi_node_ray_temp_dir": "/ray",
    "model_service_account_prefix": "inferops-",
}


def unit(service: str, kind: str = "vllm", **keys: Any) -> dict[str, Any]:
    return {"unit": f"{kind}-{service}.service", "service": service, "active": "active", "enabled": "enabled", "port": 8001, "gpus": [0], **keys}


@pytest.mark.parametrize(
    ("services", "names"),
    [([], ["a", "b"]), ([{"name": "a"}, {"name": "b", "state": "absent"}], []), ([{"name": "b"}], ["a"]), (None, ["a", "b"]), ([5, {}], ["a", "b"])],
)
def test_names(services: Any, names: list[str]) -> None:
    assert orphaned_units.orphaned_names([unit("a", "ray-head"), unit("a"), unit("b")], services) == names


def test_all_that_was_theirs_goes() -> None:
    """The account last, and nothing of others: weights and releases stay."""
    rows = orphaned_units.orphaned_units(["a"], SETTINGS)
    assert [(row["unit"], row.get("account")) for row in rows] == [
        ("vllm-a.service", None), ("ray-worker-a.service", None), ("ray-head-a.service", "inferops-a"),
    ]
    assert {row["state"] for row in rows} == {"absent"} and rows[-1]["cache"] == "/var/cache/inferops/a"
    assert "/ray/a" in rows[0]["folders"] and rows[0]["environment_file"] == "/etc/inferops/a.env"
    assert orphaned_units.orphaned_comments(["a"]) == ["inferops: api a", "inferops: green a", "inferops: peer a"]


def test_lines_to_read() -> None:
    units = [unit("a", gpus=None, port=0, enabled=""), unit("b"), unit("c")]
    assert orphaned_units.orphaned_lines(units, [{"name": "c"}]) == [
        "vllm-a.service: active, not enabled, GPUs unknown; remove.yml -e remove_service=a",
        "vllm-b.service: active, enabled, GPUs 0, port 8001; remove.yml -e remove_service=b",
    ]
