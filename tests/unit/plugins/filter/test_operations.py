# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as they are on their hosts, for playbooks that need no plan."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.filter.operations import deployed_services, revertible_units, with_replicas


def unit(name: str, service: str, active: str = "active", multi_node: bool = False) -> dict[str, Any]:
    return {"unit": f"{name}.service", "service": service, "active": active, "multi_node": multi_node}


UNITS = [
    unit("vllm-a", "a"), unit("vllm-pair", "pair", multi_node=True), unit("ray-head-pair", "pair", "failed", multi_node=True), unit("ray-worker-far", "far", multi_node=True),
]


def test_services_have_their_units_in_the_order_of_the_start() -> None:
    """The engine comes after Ray, and its unit is the main one."""
    assert deployed_services(UNITS) == [
        {"name": "a", "unit": "vllm-a.service", "units": ["vllm-a.service"], "multi_node": False},
        {"name": "pair", "unit": "vllm-pair.service", "units": ["ray-head-pair.service", "vllm-pair.service"], "multi_node": True},
        {"name": "far", "unit": "ray-worker-far.service", "units": ["ray-worker-far.service"], "multi_node": True},
    ]
    assert [service["name"] for service in deployed_services(UNITS, "pair")] == ["pair"] and deployed_services(UNITS, "x") == []


def test_nodes_are_no_replicas() -> None:
    found = with_replicas(deployed_services(UNITS), {"g2": deployed_services([UNITS[0]]), "g1": deployed_services(UNITS)})
    assert {service["name"]: service["replicas"] for service in found} == {"a": ["g2", "g1"], "pair": [], "far": []}


def test_units_have_their_files() -> None:
    """The main unit comes last and has the service's name."""
    found = revertible_units(deployed_services(UNITS), "/s", "/e")
    assert [(row["name"], row["unit"], row["environment_file"], row["served"]) for row in found] == [
        ("a", "vllm-a.service", "/e/a.env", "/s/served/a.json"),
        ("pair (ray-head-pair.service)", "ray-head-pair.service", "/e/pair.ray-head.env", "/s/served/pair.ray-head.json"),
        ("pair", "vllm-pair.service", "/e/pair.env", "/s/served/pair.json"),
        ("far", "ray-worker-far.service", "/e/far.ray-worker.env", "/s/served/far.ray-worker.json"),
    ]
