# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that would make two things one, and services that have left the inventory and not their host."""

from __future__ import annotations

from typing import Any

from example_builders import accepting, example, hosts, one
from plan_builders import gpus, host_facts, service

ORPHANED = {"unit": "vllm-old.service", "service": "old", "active": "active", "enabled": "enabled", "port": 8002, "gpus": [3]}
RUNS = host_facts(services=[ORPHANED])
GONE = host_facts()
H20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)
THEIRS = host_facts(accounts={"inferops-qwen": {"comment": "Somebody"}})


def two(second: str) -> Any:
    """A service with Ray over two hosts, of which the second is called so."""
    big = service(name="big", model="qwen3-235b-a22b", gpus=..., distributed={"nodes": 2})
    return hosts(**{
        "gpu1": {"model_services": [big], "plan_gpus": H20, "ansible_host": "10.0.0.1"}, second: {"model_services": [big], "plan_gpus": H20, "ansible_host": "10.0.0.2"},
    })


EXAMPLES = [
    example("service-names-are-not-reserved", one(service(name="weights")), "give the service another name", one(service(name="weights-2"))),
    example("service-accounts-are-not-taken", one(service(name="mirror")), "give the service another name", one(service(name="mirror-2"))),
    example(
        "service-accounts-are-not-taken", one(service(), facts=THEIRS), "set another model_service_account_prefix",
        one(service(), facts=THEIRS, model_service_account_prefix="llm-"),
    ),
    example("node-names-are-not-reserved", two("engine"), "rename the host in the inventory", two("gpu2")),
    example(
        "no-orphaned-units-exist",
        one(service(gpus=[0]), facts=RUNS),
        "playbooks/remove.yml -l gpu1 -e remove_service=old",
        one(service(gpus=[0]), facts=GONE),
        on_host=("services",),
    ),
    example(
        "no-orphaned-units-exist", one(service(gpus=[0]), facts=RUNS), "or put it back into model_services",
        one(service(gpus=[0]), service(name="old", port=8002, gpus=[3]), facts=RUNS),
    ),
    example(
        "gpus-in-use",
        one(service(gpus=[3]), facts=RUNS),
        "playbooks/remove.yml -l gpu1 -e remove_service=old",
        one(service(gpus=[3]), facts=GONE),
        on_host=("services",),
    ),
    example(
        "gpus-in-use", one(service(gpus=[3]), facts=RUNS), "or name other GPUs with gpus", one(service(gpus=[2]), facts=RUNS), costs="is not in the inventory",
    ),
    example(
        "gpus-in-use", one(service(gpus=[3]), facts=RUNS), "plan_accept", accepting(one(service(gpus=[3]), facts=RUNS), gpus_in_use="both are small"),
        costs="is not in the inventory",
    ),
]
