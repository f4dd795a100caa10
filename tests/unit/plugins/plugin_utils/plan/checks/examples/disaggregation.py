# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prefill and decode apart."""

from __future__ import annotations

from typing import Any

from example_builders import Inventory, example, hosts
from plan_builders import gpus, host_facts, service

H200 = gpus(8, name="NVIDIA H200", memory_bytes=143771 * 2**20)


def half(role: str, peers: str, port: int = 5600, **keys: Any) -> dict[str, Any]:
    """One of the two services."""
    return service(**{"name": role, "model": "qwen3-32b", "gpus": ..., "disaggregation": {"role": role, "peers": peers, "port": port}, **keys})


def both(prefill: dict[str, Any], decode: dict[str, Any], first: str = "10.0.0.1", **variables: Any) -> Inventory:
    """Each on a host of its own."""
    return hosts(
        gpu1={"model_services": [prefill], "plan_gpus": H200, "ansible_host": first, **variables},
        gpu2={"model_services": [decode], "plan_gpus": H200, "ansible_host": "10.0.0.2"},
    )


PREFILL, DECODE = half("prefill", "decode"), half("decode", "prefill")
OLD = {"model": "a/b", "vllm_requirements": ["nixl==0.10.1"]}
KNOWN = host_facts(gpus=H200, interfaces={"eth0": ["10.0.0.1"], "eth1": ["10.1.0.1"]})

EXAMPLES = [
    example("disaggregated-services-pair-up", both(half("prefill", "prefill"), DECODE), "name the service with role decode", both(PREFILL, DECODE)),
    example(
        "kv-transfer", both(PREFILL, {**DECODE, "vllm_args": {"kv_cache_dtype": "fp8"}}), "write the same kv_cache_dtype for both",
        both({**PREFILL, "vllm_args": {"kv_cache_dtype": "fp8"}}, {**DECODE, "vllm_args": {"kv_cache_dtype": "fp8"}}),
    ),
    example(
        "disaggregation-is-not-set-by-hand", both({**PREFILL, "vllm_args": {"kv_transfer_config": {"kv_role": "kv_both"}}}, DECODE), "remove kv_role",
        both({**PREFILL, "vllm_args": {"kv_transfer_config": {}}}, DECODE),
    ),
    example(
        "vllm-version-supports-disaggregation", both(*({**one, **OLD, "vllm_version": "0.9.0"} for one in (PREFILL, DECODE))),
        "set vllm_version to 0.9.1 or newer", both(*({**one, **OLD, "vllm_version": "0.9.1"} for one in (PREFILL, DECODE))),
    ),
    example(
        "side-channel-ports-are-in-range", both({**half("prefill", "decode", 65535), "vllm_args": {"data_parallel_size": 2}}, DECODE), "choose a lower port",
        both({**half("prefill", "decode", 5600), "vllm_args": {"data_parallel_size": 2}}, DECODE),
    ),
    example(
        "counterparts-have-ip-addresses", both(PREFILL, DECODE, "no-such.invalid", facts=KNOWN), "set ansible_host to an IP address",
        both(PREFILL, DECODE, "10.0.0.1", facts=KNOWN),
    ),
]
