# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that run on a host and have left the inventory: reported, not planned over, and reached as long as they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._host import unit_holds
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, service

Plans = Callable[..., Plan]


def unit(name: str = "vllm-old.service", service_name: str = "old", **keys: Any) -> dict[str, Any]:
    return {"unit": name, "service": service_name, "active": "active", "enabled": "enabled", "port": 8002, "gpus": [4, 5], **keys}


def told(made: Plan) -> list[str]:
    return [warning for warning in made.warnings if "inventory" in warning]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "vllm-old.service runs on the host and is not in the inventory: it uses GPUs 4, 5 and port 8002"),
        ({"gpus": None, "port": 0}, "it uses its GPUs; its firewall rules stay as long as it runs"),
        ({"active": "activating", "gpus": [4]}, "it uses GPU 4 and port 8002"),
        ({"active": "inactive"}, "is inactive on the host, is not in the inventory, and will start at the next boot"),
        ({"active": "failed", "enabled": "disabled"}, "is failed on the host and is not in the inventory"),
    ],
)
def test_what_left_the_inventory_is_told_of(plan: Plans, keys: dict[str, Any], said: str) -> None:
    made = plan(service(), facts=host_facts(services=[unit(**keys)]))
    assert made.errors == []
    [warning] = told(made)
    assert said in warning and warning.startswith("gpu1 / old: ")
    assert "playbooks/remove.yml -l gpu1 -e remove_service=old, or put it back into model_services" in warning


@pytest.mark.parametrize(
    "services",
    [
        [unit("vllm-qwen.service", "qwen")],
        # It was another part of a multi-node service before, and goes with this run.
        [unit("ray-worker-qwen.service", "qwen")],
        [unit("vllm-going.service", "going"), unit("ray-head-going.service", "going")],
        "garbage",
    ],
)
def test_what_the_inventory_names_is_not(plan: Plans, services: Any) -> None:
    made = plan(service(), {"name": "going", "state": "absent"}, facts=host_facts(services=services))
    assert made.errors == [] and told(made) == []


def test_gpus_that_it_holds_are_in_use(plan: Plans) -> None:
    facts = host_facts(services=[unit(gpus=[3, 4])])
    [error] = plan(service(), facts=facts).errors
    assert (error.service, error.key, error.value) == ("qwen", "gpus", "3")
    assert "vllm-old.service runs on the host, uses it" in error.why and "remove_service=old" in error.fix
    # Every fix leads to a plan: other GPUs, the service back in the inventory or removed, and at last one's word that it is right.
    assert plan(service(gpus=[0, 1], vllm_args={"tensor_parallel_size": 2}), facts=facts).errors == []
    assert plan(service(), {"name": "old", "state": "absent"}, facts=facts).errors == []
    assert plan(service(), facts=host_facts(services=[unit(gpus=[3, 4], active="inactive")])).errors == []
    accepted = plan(service(), facts=facts, plan_accept={"gpus-in-use": "both are small"})
    assert accepted.errors == [] and any("gpus-in-use" in warning for warning in accepted.warnings)


def rule(port: str, source: str, comment: str, **keys: str) -> dict[str, str]:
    protocol = "tcp" if port else "any"
    return {"family": 4, "action": "allow", "port": port, "protocol": protocol, "source": source, "comment": comment, "elsewhere": "", **keys}


RULES = [
    rule("8002", "10.0.0.0/8", "inferops: api old"),
    rule("", "10.0.0.9", "inferops: peer gone, old"),
    rule("8003", "10.0.0.0/8", "inferops: api gone"),
    rule("8004", "10.0.0.0/8", "somebody else's"),
]


@pytest.mark.parametrize(("active", "kept"), [("active", True), ("inactive", False)])
def test_it_is_reached_as_long_as_it_runs(plan: Plans, active: str, kept: bool) -> None:
    """Its rule would have been deleted while it went on holding its GPUs."""
    firewall = {"ssh_ports": [22], "state": {"rules": RULES}}
    made = plan(service(), facts=host_facts(services=[unit(active=active)], firewall=firewall), firewall_api_sources=["192.0.2.0/24"])
    assert made.errors == []
    rows = [row for row in made.hosts["gpu1"]["firewall"]["rules"] if "old" in row["comment"]]
    found = [(row["port"], row["protocol"], source, row["comment"]) for row in rows for source in row["sources"]]
    expected = [(8002, "tcp", "10.0.0.0/8", "inferops: api old"), (None, None, "10.0.0.9", "inferops: peer gone, old")]
    assert found == (expected if kept else [])


def test_what_a_unit_says_that_it_holds() -> None:
    """As the roles write it, with one flag a line."""
    text = "[Service]\nEnvironment=CUDA_VISIBLE_DEVICES=0,1\nExecStart=/r/bin/vllm serve \\\n    /m \\\n    --host=0.0.0.0 \\\n    --port=8001 \\\n    --max-model-len=1\n"
    assert unit_holds(text) == {"port": 8001, "gpus": [0, 1], "multi_node": False}
    ray = "[Service]\nExecStart=ray start --node-manager-port=7 --metrics-export-port=8\n"
    assert unit_holds(ray) == {"port": 0, "gpus": None, "multi_node": False}


SUPERVISED = """[Service]
ExecStart=/usr/bin/python3 \\
    -EsB \\
    /opt/inferops/lib/current \\
    supervisor \\
    {0} \\
    --service=pair \\
    --port=6380 \\
    -- \\
    /r/bin/{1} \\
    --port=8001
TimeoutStartSec=300
"""


@pytest.mark.parametrize(("role", "command", "port", "multi_node"), [
    ("single", "vllm \\\n    serve \\\n    /m", 8001, False),
    ("leader", "vllm \\\n    serve \\\n    /m", 8001, True),
    ("worker", "vllm \\\n    serve \\\n    /m", 8001, True),
    ("leader", "ray \\\n    start \\\n    --head", 0, True),
])
def test_the_port_is_the_engines(role: str, command: str, port: int, multi_node: bool) -> None:
    """Not that of the supervisor before it, nor Ray's."""
    assert unit_holds(SUPERVISED.format(role, command)) == {"port": port, "gpus": None, "multi_node": multi_node}
