# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Multi-node services."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import Run
from example_builders import Inventory, example, hosts
from plan_builders import gpus, host_facts, service

H20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)


def on(*services: dict[str, Any], **variables: Any) -> dict[str, Any]:
    """Variables of a host with eight H20 and these services."""
    return {"model_services": list(services), "plan_gpus": H20, **variables}


def big(nodes: int = 2, vllm_args: Any = None, **distributed: Any) -> dict[str, Any]:
    """A multi-node service."""
    arguments = {} if vllm_args is None else {"vllm_args": vllm_args}
    return service(name="big", model="qwen3-235b-a22b", gpus=..., distributed={"nodes": nodes, **distributed}, **arguments)


def data(ranks: int = 4, backend: str = "mp", port: int = 29501, **vllm_args: Any) -> dict[str, Any]:
    """A multi-node service with data parallel ranks over its hosts."""
    return big(2, {"data_parallel_size": ranks, "enable_expert_parallel": True, **vllm_args}, backend=backend, port=port)


def dense(**vllm_args: Any) -> dict[str, Any]:
    """A multi-node service of a model without experts."""
    return {**big(backend="mp", vllm_args=vllm_args), "model": "qwen3-32b"}


def two(made: dict[str, Any], **variables: Any) -> Inventory:
    """Two hosts alike."""
    return hosts(gpu1=on(made, ansible_host="10.0.0.1", **variables), gpu2=on(made, ansible_host="10.0.0.2", **variables))


def known(**keys: Any) -> dict[str, Any]:
    """Facts of each of two hosts."""
    return host_facts(gpus=H20, **keys)


ETH0 = known(interfaces={"eth0": ["10.0.0.1"]})
LONG = "/var/lib/inferops/a/very/long/path/for/the/sockets/of/ray/that/nobody/needs"

def six(made: dict[str, Any]) -> Inventory:
    """Two hosts with six GPUs each."""
    return two(made, plan_gpus=H20[:6])


EXAMPLES = [
    # Six GPUs a host: the 4 KV heads of Qwen3-235B go into 2 ranks and not into 6.
    example(
        "model-divides-by-parallel-sizes",
        six(big()),
        "use all 12 GPUs with tensor_parallel_size: 2 and pipeline_parallel_size: 6",
        six(big(vllm_args={"tensor_parallel_size": 2, "pipeline_parallel_size": 6})),
    ),
    example(
        "parallel-sizes-match-the-gpus-of-all-nodes",
        six(big(vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})),
        "write tensor_parallel_size: 2 and pipeline_parallel_size: 6",
        six(big(vllm_args={"tensor_parallel_size": 2, "pipeline_parallel_size": 6})),
    ),
    example(
        "network-interface-exists",
        hosts(gpu1=on(big(interface="eth9"), facts=ETH0), gpu2=on(big(interface="eth9"))),
        "did you mean eth0?",
        hosts(gpu1=on(big(interface="eth0"), facts=ETH0), gpu2=on(big(interface="eth0"))),
    ),
    example("arguments-support-multi-node", two(big(vllm_args={"data_parallel_start_rank": 1})), "remove it", two(big())),
    example(
        "arguments-support-multi-node",
        two(data(data_parallel_external_lb=True)),
        "write data_parallel_hybrid_lb: true",
        two(data(data_parallel_hybrid_lb=True)),
    ),
    example("arguments-support-multi-node", two(data(data_parallel_rpc_port=29600)), "set distributed.port", two(data(port=29600))),
    example(
        "arguments-support-multi-node",
        two(big(backend="mp", vllm_args={"data_parallel_hybrid_lb": True})),
        "remove data_parallel_hybrid_lb",
        two(big(backend="mp")),
    ),
    example("data-parallel-over-hosts-uses-mp", two(data(backend="ray")), "write distributed.backend: mp", two(data())),
    example("data-parallel-ranks-fill-the-nodes", two(data(5)), "write data_parallel_size: 4 (or 2, 8, 16)", two(data(4))),
    example("data-parallel-ranks-fill-the-nodes", two(data(16, tensor_parallel_size=2)), "leave tensor_parallel_size out, for 1 GPU a rank", two(data(16))),
    example(
        "data-parallel-nodes-have-ipv4",
        hosts(gpu1=on(data(), ansible_host="fd00::1"), gpu2=on(data(), ansible_host="fd00::2")),
        "an IPv4 address in ansible_host",
        hosts(gpu1=on(data(), ansible_host="10.0.0.1"), gpu2=on(data(), ansible_host="10.0.0.2")),
    ),
    example(
        "data-parallel-over-hosts-needs-experts", two(dense(data_parallel_size=2, data_parallel_hybrid_lb=True)), "remove data_parallel_hybrid_lb",
        two(dense(data_parallel_size=2)), costs="independent copies",
    ),
    example("expert-parallel-needs-experts", two(dense(enable_expert_parallel=True)), "remove enable_expert_parallel", two(dense())),
    # Nothing would tell its supervisor a long queue from an engine that hangs.
    example("arguments-support-multi-node", two(big(vllm_args={"disable_log_stats": True})), "leave disable_log_stats out", two(big())),
    example(
        "vllm-version-supports-multi-node",
        two({**big(backend="mp"), "vllm_version": "0.11.0"}),
        "set vllm_version to 0.11.1 or newer",
        two({**big(backend="mp"), "vllm_version": "0.32.0"}),
    ),
    example("transport-is-known", two(big(transport="infinband")), "did you mean infiniband?", two(big(transport="infiniband"))),
    example("node-ports-are-in-range", two(big(port=65530)), "choose a lower port, preferably below 32768", two(big(port=6379))),
    example("ray-temp-dir-is-short", two(big(), multi_node_ray_temp_dir=LONG), "set multi_node_ray_temp_dir to a shorter path", two(big(), multi_node_ray_temp_dir="/var/lib/ray")),
    example(
        "ray-object-stores-fit",
        hosts(
            **{
                name: on(
                    big(),
                    facts=known(mounts=[{"mount": "/", "free_bytes": 10**13}, {"mount": "/dev/shm", "free_bytes": 100 * 2**20, "size_bytes": 100 * 2**20}]),
                )
                for name in ("gpu1", "gpu2")
            }
        ),
        "lower multi_node_ray_object_store_memory",
        hosts(
            **{
                name: on(
                    big(),
                    multi_node_ray_object_store_memory=80 * 2**20,
                    facts=known(mounts=[{"mount": "/", "free_bytes": 10**13}, {"mount": "/dev/shm", "free_bytes": 100 * 2**20, "size_bytes": 100 * 2**20}]),
                )
                for name in ("gpu1", "gpu2")
            }
        ),
    ),
    example("run-includes-all-nodes", two(big()), "limit the run to all hosts of the service", two(big()), run=Run(frozenset({"gpu1"}))),
    example("node-count-matches-the-hosts", two(big(3)), "write nodes: 2", two(big(2))),
    example("head-is-a-node", two(big(head="gpu3")), "did you mean gpu2 or gpu1?", two(big(head="gpu1"))),
    example(
        "nodes-have-the-same-settings",
        hosts(gpu1=on(big(), ansible_host="10.0.0.1"), gpu2=on(big(port=6500), ansible_host="10.0.0.2")),
        "write the same value on all of its hosts",
        two(big(port=6500)),
    ),
    example(
        "node-addresses-are-unique",
        hosts(gpu1=on(big(), ansible_host="10.0.0.1"), gpu2=on(big(), ansible_host="10.0.0.1")),
        "give each host its own address",
        two(big()),
    ),
    example(
        "hostnames-are-unique",
        hosts(gpu1=on(big(), facts=known(hostname="a")), gpu2=on(big(), facts=known(hostname="a"))),
        "set their names with hostnamectl",
        hosts(gpu1=on(big(), facts=known(hostname="a")), gpu2=on(big(), facts=known(hostname="b"))),
        on_host=("hostname",),
    ),
    example(
        "node-addresses-are-ip-addresses",
        hosts(
            gpu1=on(big(), ansible_host="10.0.0.1", facts=ETH0),
            gpu2=on(big(), ansible_host="no-such.invalid", facts=known(interfaces={"eth0": ["10.0.0.2"], "eth1": ["10.1.0.2"]})),
        ),
        "set ansible_host to an IP address",
        hosts(
            gpu1=on(big(), ansible_host="10.0.0.1", facts=ETH0),
            gpu2=on(big(), ansible_host="10.0.0.2", facts=known(interfaces={"eth0": ["10.0.0.2"], "eth1": ["10.1.0.2"]})),
        ),
    ),
    # Eight and four GPUs: stages of eight would split the second host.
    example(
        "parallel-sizes-match-the-gpus-of-all-nodes",
        hosts(gpu1=on(big(vllm_args={"tensor_parallel_size": 8})), gpu2=on(big(vllm_args={"tensor_parallel_size": 8}), plan_gpus=H20[:4])),
        "write tensor_parallel_size: 4",
        hosts(gpu1=on(big(vllm_args={"tensor_parallel_size": 4})), gpu2=on(big(vllm_args={"tensor_parallel_size": 4}), plan_gpus=H20[:4])),
    ),
    example(
        "nodes-have-the-same-settings",
        hosts(gpu1=on(big(backend="mp")), gpu2=on(big(backend="mp"), plan_gpus=H20[:4])),
        "write distributed.backend: ray",
        hosts(gpu1=on(big(backend="ray")), gpu2=on(big(backend="ray"), plan_gpus=H20[:4])),
    ),
    example("parallel-sizes-match-the-gpus-of-all-nodes", two(big(vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})), "leave the parallel sizes out for 8 x 2", two(big())),
]
