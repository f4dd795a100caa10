# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prefill and decode apart: what the plan gives each of the two, and every way in which they do not fit together."""

from __future__ import annotations

import json

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, service

ACCEPTED = {"open-port": "of no matter here", "unchecked-values": "of no matter here"}
PLENTY = gpus(8, name="NVIDIA H200", memory_bytes=143771 * 2**20)
Hosts = dict[str, dict[str, Any]]
Planner = Callable[..., Plan]


def part(role: str, **keys: Any) -> dict[str, Any]:
    """One of the two services, with further keys of the service or, where they begin with C(d_), of disaggregation."""
    own = {key[2:]: keys.pop(key) for key in list(keys) if key.startswith("d_")}
    peers = {"prefill": "decode", "decode": "prefill"}.get(role, "decode")
    return service(**{"name": role, "model": "qwen3-32b", "gpus": ..., "disaggregation": {"role": role, "peers": peers, **own}, **keys})


def on(number: int, *services: dict[str, Any], **variables: Any) -> dict[str, Any]:
    return {"model_services": list(services), "plan_gpus": PLENTY, "plan_accept": ACCEPTED, "ansible_host": f"10.0.0.{number}", **variables}


def apart(prefill: dict[str, Any] | None = None, decode: dict[str, Any] | None = None) -> Hosts:
    """Each of the two on a host of its own, with these keys."""
    return {"gpu1": on(1, part("prefill", **(prefill or {}))), "gpu2": on(2, part("decode", **(decode or {})))}


@pytest.fixture(name="plan")
def _plan(plan_hosts: Callable[[list[HostInput]], Plan]) -> Planner:
    return lambda hosts, **facts: plan_hosts([HostInput(name, variables, facts.get(name)) for name, variables in hosts.items()])


def test_what_each_of_the_two_gets(plan: Planner) -> None:
    """Connector, role, the package, the side channel at its own address, and a firewall that is open between the two hosts alone."""
    made = plan({**apart(), "gpu3": on(3, service(gpus=..., model="qwen3-32b"))})
    assert made.errors == []
    for number, role, kv_role in ((1, "prefill", "kv_producer"), (2, "decode", "kv_consumer")):
        host = made.hosts[f"gpu{number}"]
        [found] = host["services"]
        [config] = [json.loads(word.partition("=")[2]) for word in found["argv"] if word.startswith("--kv-transfer-config=")]
        assert config == {"kv_connector": "NixlConnector", "kv_role": kv_role}
        channel = {name: value for name, value in found["environment"].items() if "SIDE_CHANNEL" in name}
        assert channel == {"VLLM_NIXL_SIDE_CHANNEL_HOST": f"10.0.0.{number}", "VLLM_NIXL_SIDE_CHANNEL_PORT": "5600"}
        assert any(requirement.startswith("nixl==") for release in host["releases"] for requirement in release["requirements"])
        between = [rule for rule in host["firewall"]["rules"] if rule["comment"].startswith("inferops: peer")]
        assert between == [{"port": None, "protocol": None, "sources": [f"10.0.0.{3 - number}"], "comment": f"inferops: peer {role}"}]
    assert not any("peer" in rule["comment"] for rule in made.hosts["gpu3"]["firewall"]["rules"])


def test_several_hosts_of_each(plan: Planner) -> None:
    """Every prefill host reaches every decode host, and no host of its own role."""
    hosts = {f"gpu{n}": on(n, part("prefill" if n < 3 else "decode")) for n in (1, 2, 3, 4, 5)}
    made = plan(hosts)
    assert made.errors == []
    sources = {}
    for name, host in made.hosts.items():
        sources[name] = sorted(source for rule in host["firewall"]["rules"] if "peer" in rule["comment"] for source in rule["sources"])
    assert sources["gpu1"] == sources["gpu2"] == ["10.0.0.3", "10.0.0.4", "10.0.0.5"] and sources["gpu4"] == ["10.0.0.1", "10.0.0.2"]


def test_the_users_own_members(plan: Planner) -> None:
    """They go beside the connector and the role, as a dictionary or as JSON."""
    own = {"kv_buffer_device": "cpu"}
    made = plan(apart({"vllm_args": {"kv_transfer_config": own}}, {"vllm_args": {"kv_transfer_config": json.dumps(own)}}))
    assert made.errors == []
    for host in made.hosts.values():
        [config] = [json.loads(word.partition("=")[2]) for word in host["services"][0]["argv"] if word.startswith("--kv-transfer-config=")]
        assert config["kv_buffer_device"] == "cpu" and config["kv_connector"] == "NixlConnector"


ONE_HOST = {"gpu1": on(1, part("prefill", gpus=[0, 1, 2, 3]), part("decode", gpus=[4, 5, 6, 7], port=8002))}
MODEL = {"model": "qwen3-235b-a22b", "distributed": {"nodes": 2, "backend": "mp"}, "vllm_args": {"data_parallel_size": 4, "enable_expert_parallel": True}}

MTP = {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}}
UNKNOWN = {"model": "a/b", "revision": "a" * 40}

# Hosts, and of each error its host, service and key, and words of it.
ERRORS: list[tuple[str, Hosts, list[tuple[str, str, str]], str]] = [
    ("no role", apart({"disaggregation": {"peers": "decode"}}), [("gpu1", "prefill", "disaggregation.role")], "role: prefill"),
    ("another role", apart({"disaggregation": {"role": "both", "peers": "decode"}}), [("gpu1", "prefill", "disaggregation.role")], "write prefill or decode"),
    ("a list as role", apart({"disaggregation": {"role": [], "peers": "decode"}}), [("gpu1", "prefill", "disaggregation.role")], "write prefill or decode"),
    ("a dictionary as role", apart({"disaggregation": {"role": {"a": 1}, "peers": "decode"}}), [("gpu1", "prefill", "disaggregation.role")], "write prefill"),
    (
        "no peers",
        apart({"disaggregation": {"role": "prefill"}}),
        [("gpu1", "prefill", "disaggregation.peers"), ("gpu2", "decode", "disaggregation.peers")],
        "peers",
    ),
    ("no such service", {"gpu1": on(1, part("prefill"))}, [("gpu1", "prefill", "disaggregation.peers")], "disaggregation: {role: decode, peers: prefill}"),
    ("itself", {"gpu1": on(1, part("prefill", d_peers="prefill"))}, [("gpu1", "prefill", "disaggregation.peers")], "name the service with role decode"),
    ("a stranger", apart(None, {"disaggregation": ...}), [("gpu1", "prefill", "disaggregation.peers")], "does not name this service in return"),
    (
        "the same role",
        apart(None, {"d_role": "prefill"}),
        [("gpu1", "prefill", "disaggregation.role"), ("gpu2", "decode", "disaggregation.role")],
        "role: decode for the other",
    ),
    ("another vLLM", apart(None, {"vllm_version": "0.31.0"}), [("gpu2", "decode", "vllm_version")], "has 0.32.0"),
    ("another model", apart(None, {"model": "qwen3-0.6b"}), [("gpu2", "decode", "model")], "has Qwen/Qwen3-32B"),
    ("another revision", apart(None, {"revision": "a" * 40}), [("gpu2", "decode", "revision")], "the same revision"),
    ("another cache", apart({"vllm_args": {"kv_cache_dtype": "fp8"}}), [("gpu2", "decode", "vllm_args.kv_cache_dtype")], "has fp8"),
    (
        "another backend",
        apart({"vllm_args": {"attention_backend": "FLASHINFER"}}, {"vllm_args": {"attention_backend": "flash_attn"}}),
        [("gpu2", "decode", "vllm_args.attention_backend")],
        "FLASHINFER",
    ),
    ("another type", apart({"vllm_args": {"dtype": "half"}}), [("gpu2", "decode", "vllm_args.dtype")], "has float16"),
    ("layers for speculation", apart({"vllm_args": MTP}), [("gpu2", "decode", "vllm_args.speculative_config")], "mtp"),
    (
        "other speculation",
        apart({"vllm_args": MTP}, {"vllm_args": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 2}}}),
        [("gpu2", "decode", "vllm_args.speculative_config")],
        "mtp",
    ),
    (
        "sizes that do not divide",
        {
            "gpu1": on(1, part("prefill", **UNKNOWN, gpus=[0, 1, 2, 3])),
            "gpu2": on(2, part("decode", **UNKNOWN, gpus=[0, 1, 2, 3, 4, 5])),
        },
        [("gpu2", "decode", "vllm_args.tensor_parallel_size")],
        "has to divide by the other",
    ),
    (
        "fewer heads than ranks",
        apart({"model": "qwen3-235b-a22b"}, {"model": "qwen3-235b-a22b", "vllm_args": {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}}),
        [("gpu2", "decode", "vllm_args.tensor_parallel_size")],
        "4 KV heads",
    ),
    ("blocks", apart({"vllm_args": {"block_size": 64}}, {"vllm_args": {"block_size": 32}}), [("gpu2", "decode", "vllm_args.block_size")], "a multiple"),
    (
        "prefill context",
        apart(None, {"vllm_args": {"prefill_context_parallel_size": 2, "tensor_parallel_size": 4}}),
        [("gpu2", "decode", "vllm_args.prefill_context_parallel_size")],
        "for prefill only",
    ),
    (
        "a role by hand",
        apart({"vllm_args": {"kv_transfer_config": {"kv_role": "kv_both"}}}),
        [("gpu1", "prefill", "vllm_args.kv_transfer_config.kv_role")],
        "sets it to kv_producer",
    ),
    (
        "another connector",
        apart({"vllm_args": {"kv_transfer_config": {"kv_connector": "MooncakeConnector"}}, "vllm_requirements": ["mooncake-transfer-engine==0.3.7"]}),
        [("gpu1", "prefill", "vllm_args.kv_transfer_config.kv_connector")],
        "sets it to NixlConnector",
    ),
    (
        "a port by hand",
        apart({"environment": {"VLLM_NIXL_SIDE_CHANNEL_PORT": "5700"}}),
        [("gpu1", "prefill", "environment.VLLM_NIXL_SIDE_CHANNEL_PORT")],
        "set disaggregation.port",
    ),
    (
        "an address by hand",
        apart({"environment": {"VLLM_NIXL_SIDE_CHANNEL_HOST": "0.0.0.0"}}),
        [("gpu1", "prefill", "environment.VLLM_NIXL_SIDE_CHANNEL_HOST")],
        "its own address",
    ),
    ("a port twice", ONE_HOST, [("gpu1", "decode", "disaggregation.port")], "its own port"),
    ("too high a port", apart({"d_port": 65535, "vllm_args": {"data_parallel_size": 2}}), [("gpu1", "prefill", "disaggregation.port")], "from 65535 to 65536"),
]


@pytest.mark.parametrize(("hosts", "expected", "words"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(plan: Planner, hosts: Hosts, expected: list[tuple[str, str, str]], words: str) -> None:
    """One for each mistake, which says what to write."""
    found = plan(hosts).errors
    assert [(error.host, error.service, error.key) for error in found] == expected, found
    assert words in " | ".join(f"{error.why} {error.fix}" for error in found)


NGRAM = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}
FP8 = {"model": "qwen3-32b-fp8"}
PASSES: list[tuple[str, Hosts]] = [
    ("on one host", {"gpu1": on(1, part("prefill", gpus=[0, 1, 2, 3]), part("decode", gpus=[4, 5, 6, 7], port=8002, d_port=5700))}),
    ("more ranks for prefill", apart(None, {"vllm_args": {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}})),
    ("more ranks than heads for both", apart({"model": "qwen3-235b-a22b"}, {"model": "qwen3-235b-a22b"})),
    ("larger blocks for decode", apart({"vllm_args": {"block_size": 32}}, {"vllm_args": {"block_size": 64}})),
    # What vLLM compares are the values that it resolves.
    ("the type of the weights", apart({"vllm_args": {"dtype": "bfloat16"}})),
    ("two names of a type", apart({"vllm_args": {"dtype": "half"}}, {"vllm_args": {"dtype": "float16"}})),
    ("a type that the plan does not know", apart({**FP8, "vllm_args": {"dtype": "bfloat16"}}, FP8)),
    ("two spellings of a backend", apart({"vllm_args": {"attention_backend": "flash_attn"}}, {"vllm_args": {"attention_backend": "FLASH_ATTN"}})),
    ("a backend on one side", apart({"vllm_args": {"attention_backend": "FLASH_ATTN"}})),
    ("speculation without the model's states", apart(None, {"vllm_args": {"speculative_config": NGRAM}})),
    ("two ways to write speculation", apart({"vllm_args": MTP}, {"vllm_args": {"speculative_config": json.dumps(MTP["speculative_config"])}})),
    ("more tokens at a time", apart({"vllm_args": MTP}, {"vllm_args": {"speculative_config": {"method": "qwen3_next_mtp", "num_speculative_tokens": 2}}})),
    ("prefill context for prefill", apart({"vllm_args": {"prefill_context_parallel_size": 2, "tensor_parallel_size": 4}})),
]


@pytest.mark.parametrize("hosts", [case[1] for case in PASSES], ids=[case[0] for case in PASSES])
def test_passes(plan: Planner, hosts: Hosts) -> None:
    """What the connector takes."""
    assert plan(hosts).errors == []


def test_data_parallel_over_hosts(plan: Planner) -> None:
    """A port for each rank, counted over all hosts, and the address of each host."""
    decode = part("decode", **MODEL)
    hosts = {
        "gpu1": on(1, part("prefill", model=MODEL["model"], vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})),
        "gpu2": on(2, decode),
        "gpu3": on(3, decode),
    }
    made = plan(hosts)
    assert made.errors == []
    channels = {name: host["services"][0]["environment"]["VLLM_NIXL_SIDE_CHANNEL_HOST"] for name, host in made.hosts.items()}
    assert channels == {"gpu1": "10.0.0.1", "gpu2": "10.0.0.2", "gpu3": "10.0.0.3"}
    taken = [{"port": port, "address": "10.0.0.3", "unit": "redis-server.service"} for port in range(5600, 5604)]
    [error] = plan(hosts, gpu3=host_facts(gpus=PLENTY, listeners=taken)).errors
    assert (error.key, error.value) == ("disaggregation.port", "5602, 5603")


def test_by_ipv6(plan: Planner) -> None:
    """The address of the side channel, of which vLLM makes a URL itself, and the firewall's source."""
    facts = {
        f"gpu{n}": host_facts(hostname=f"gpu{n}", interfaces={"eth0": [f"2001:db8::{n}"]}, default_ipv4="", default_ipv6=f"2001:db8::{n}", gpus=PLENTY)
        for n in (1, 2)
    }
    made = plan({"gpu1": on(1, part("prefill", host="::"), ansible_host="gpu1"), "gpu2": on(2, part("decode", host="::"), ansible_host="gpu2")}, **facts)
    assert made.errors == []
    assert made.hosts["gpu1"]["services"][0]["environment"]["VLLM_NIXL_SIDE_CHANNEL_HOST"] == "2001:db8::1"
    assert ["2001:db8::2"] in [rule["sources"] for rule in made.hosts["gpu1"]["firewall"]["rules"] if "peer" in rule["comment"]]


def test_no_blue_green(plan: Planner) -> None:
    """Two engines would use one side channel."""
    hosts = {name: {**variables, "model_service_update_strategy": "blue_green"} for name, variables in apart().items()}
    made = plan(hosts)
    assert {host["services"][0]["green"]["why"] for host in made.hosts.values()} == {
        "its two engines would both use the port of its side channel (disaggregation.port)"
    }
