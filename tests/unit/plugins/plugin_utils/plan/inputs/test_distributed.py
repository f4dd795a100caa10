# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Multi-node services: who is which part of them, and every way in which they do not fit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from plan_builders import gpus, host_facts, keys_of, service

ACCEPTED = {"open-port": "of no matter here", "unchecked-values": "of no matter here"}
COMMIT = "8efa61729e24bd65b1d152b5ab5409052aa80e65"
Hosts = dict[str, dict[str, Any]]
Planner = Callable[..., Plan]


def over(nodes: int | None = 2, name: str = "big", **keys: Any) -> dict[str, Any]:
    """A multi-node service, with further keys of the service or, by their names, of distributed."""
    inner = {key: keys.pop(key) for key in ("backend", "head", "interface", "port_of_meeting") if key in keys}
    if "port_of_meeting" in inner:
        inner["port"] = inner.pop("port_of_meeting")
    stated = {} if nodes is None else {"nodes": nodes}
    return service(**{"name": name, "model": "qwen3-235b-a22b", "gpus": ..., "distributed": {**stated, **inner}, **keys})


def ranks(size: int, nodes: int = 2, gpus: Any = ..., vllm_version: Any = ..., **vllm_args: Any) -> dict[str, Any]:
    """A multi-node service with this number of data parallel ranks over its hosts."""
    arguments = {"data_parallel_size": size, "enable_expert_parallel": True, **vllm_args}
    return over(nodes, backend="mp", gpus=gpus, vllm_version=vllm_version, vllm_args=arguments)


def on(*services: dict[str, Any], **variables: Any) -> dict[str, Any]:
    """Variables of a host with eight H20 and these services."""
    h20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)
    return {"model_services": list(services), "plan_gpus": h20, "plan_accept": ACCEPTED, **variables}


def two(*services: dict[str, Any], **variables: Any) -> Hosts:
    """Two hosts alike."""
    return {"gpu1": on(*services, **variables), "gpu2": on(*services, **variables)}


@pytest.fixture(scope="session")
def over_hosts(defaults: dict[str, Any], catalogue: Catalogue, tables: Tables) -> Planner:
    """Plans hosts, given their variables, and facts where they are given by name."""

    def plan_them(hosts: Hosts, run: Run = Run(), **facts: Any) -> Plan:
        inputs = [HostInput(name, variables, facts.get(name)) for name, variables in hosts.items()]
        return resolve(inputs, defaults, catalogue, tables, run=run)

    return plan_them


def parts(made: Plan, name: str = "big") -> dict[str, dict[str, Any]]:
    """The documents of a service by host, of a plan without errors."""
    assert made.errors == []
    return {host: next(one for one in document["services"] if one["name"] == name) for host, document in made.hosts.items()}


def test_ray(over_hosts: Planner) -> None:
    """The head runs vLLM's command and answers; the worker leaves all of it to Ray."""
    hosts = {"gpu1": on(over(), ansible_host="10.0.0.1"), "gpu2": on(over(), ansible_host="10.0.0.2")}
    found = parts(over_hosts(hosts))
    head, worker = found["gpu1"], found["gpu2"]
    nodes = [
        {"rank": 0, "host": "gpu1", "address": "10.0.0.1", "interface": ""},
        {"rank": 1, "host": "gpu2", "address": "10.0.0.2", "interface": ""},
    ]
    same = {"backend": "ray", "head_address": "10.0.0.1", "rendezvous_port": 6379, "nodes": nodes, "interface": ""}
    there = {key: head["node"].pop(key) for key in ("ports", "transport", "network")}
    assert there["network"] == worker["node"].pop("network")
    assert there["ports"]["rendezvous"] == 6379 and there["ports"]["supervisor"] == 6380 and there["transport"] is None
    assert "rendezvous" not in worker["node"].pop("ports") and worker["node"].pop("transport") is None
    # Without the dashboard, which listens on loopback, and without what the head alone has.
    assert head["node"].pop("peers") == [{"host": "gpu2", "address": "10.0.0.2", "ports": [6381, 6382, 6383, 6385, 6386, 6387]}]
    assert worker["node"].pop("open_ports") == [6381, 6382, 6383, 6385, 6386, 6387]
    open_ports = head["node"].pop("open_ports")
    assert worker["node"].pop("peers") == [{"host": "gpu1", "address": "10.0.0.1", "ports": open_ports}]
    assert open_ports == [6379, 6380, 6381, 6382, 6383, 6385, 6386, 6387, 6388]
    assert head["node"] == {"rank": 0, "role": "head", "address": "10.0.0.1", **same}
    assert worker["node"] == {"rank": 1, "role": "worker", "address": "10.0.0.2", **same}
    assert head["url"] == "http://10.0.0.1:8001" and worker["url"] is None and worker["local_url"] is None
    assert {"--tensor-parallel-size=8", "--pipeline-parallel-size=2", "--distributed-executor-backend=ray"} <= set(head["argv"])
    assert worker["argv"] == []
    assert head["gpus"] == worker["gpus"] == list(range(8))
    assert head["digest"] != worker["digest"]


def test_mp(over_hosts: Planner) -> None:
    """Each node runs vLLM's command with its own rank, and the head alone listens."""
    found = parts(over_hosts(two(over(backend="mp", port_of_meeting=29600))))
    head, worker = set(found["gpu1"]["argv"]), set(found["gpu2"]["argv"])
    both = {"--nnodes=2", "--master-addr=gpu1", "--master-port=29600", "--distributed-executor-backend=mp", "--pipeline-parallel-size=2"}
    assert both | {"--node-rank=0", "--port=8001", "--host=0.0.0.0"} <= head and "--headless" not in head
    assert both | {"--node-rank=1", "--headless"} <= worker and "--port=8001" not in worker and "--host=0.0.0.0" not in worker
    assert found["gpu1"]["node"]["rendezvous_port"] == 29600


# Data parallel over hosts: the service, GPUs of each host, and the flags of each node that others do not have or have with another value.
DATA_PARALLEL: list[tuple[str, dict[str, Any], tuple[int, ...], int, list[set[str]]]] = [
    ("two ranks a host", ranks(4), (8, 8), 4, [
        {"--data-parallel-size-local=2", "--port=8001", "--host=0.0.0.0"},
        {"--data-parallel-size-local=2", "--data-parallel-start-rank=2", "--headless"},
    ]),
    ("a rank a GPU", ranks(16), (8, 8), 1, [
        {"--data-parallel-size-local=8", "--port=8001", "--host=0.0.0.0"},
        {"--data-parallel-size-local=8", "--data-parallel-start-rank=8", "--headless"},
    ]),
    ("more on the larger host", ranks(3), (8, 4), 4, [
        {"--data-parallel-size-local=2", "--port=8001", "--host=0.0.0.0"},
        {"--data-parallel-size-local=1", "--data-parallel-start-rank=2", "--headless"},
    ]),
    ("an API on each host", ranks(4, data_parallel_hybrid_lb=True, api_server_count=3), (8, 8), 4, [
        {"--data-parallel-size-local=2", "--data-parallel-start-rank=0", "--port=8001", "--host=0.0.0.0", "--data-parallel-hybrid-lb", "--api-server-count=3"},
        {"--data-parallel-size-local=2", "--data-parallel-start-rank=2", "--port=8001", "--host=0.0.0.0", "--data-parallel-hybrid-lb", "--api-server-count=3"},
    ]),
    ("API servers of the head", ranks(4, api_server_count=3), (8, 8), 4, [
        {"--data-parallel-size-local=2", "--port=8001", "--host=0.0.0.0", "--api-server-count=3"},
        {"--data-parallel-size-local=2", "--data-parallel-start-rank=2", "--headless"},
    ]),
]


@pytest.mark.parametrize(("made", "have", "tensor", "own"), [case[1:] for case in DATA_PARALLEL], ids=[case[0] for case in DATA_PARALLEL])
def test_data_parallel_over_hosts(over_hosts: Planner, made: dict[str, Any], have: tuple[int, ...], tensor: int, own: list[set[str]]) -> None:
    """Each node starts its own ranks and reports to the head, and nothing of the launcher for one copy over all nodes is there."""
    hosts = {
        f"gpu{n}": on(made, ansible_host=f"10.0.0.{n}", plan_gpus=gpus(count, name="NVIDIA H200", memory_bytes=143771 * 2**20)) for n, count in enumerate(
            have,
            1,
        )
    }
    found = parts(over_hosts(hosts))
    lines = [set(found[name]["argv"]) for name in hosts]
    for words, flags in zip(lines, own):
        assert {"--data-parallel-address=10.0.0.1", "--data-parallel-rpc-port=29501", f"--tensor-parallel-size={tensor}", "--enable-expert-parallel"} <= words
        pattern = (
            "--data-parallel-size-local",
            "--data-parallel-start",
            "--data-parallel-hybrid",
            "--headless",
            "--port",
            "--host",
            "--api-server",
            "--nnodes",
            "--node-rank",
            "--master",
        )
        assert {word for word in words if word.startswith(pattern)} == flags
        assert not any(word.startswith("--pipeline-parallel-size") for word in words)
    apis = "--data-parallel-hybrid-lb" in own[1]
    assert found["gpu1"]["url"] == "http://10.0.0.1:8001" and found["gpu2"]["url"] == ("http://10.0.0.2:8001" if apis else None)
    supervisors = [found[name]["units"][0]["supervisor"] for name in hosts]
    assert [any(word.startswith("--engine=") for word in words) for words in supervisors] == [True, apis]
    assert ["--apis=all" in words for words in supervisors] == [apis, apis]
    assert len({word for words in supervisors for word in words if word.startswith("--digest=")}) == 1


def test_the_memory_of_data_parallel_over_hosts(over_hosts: Planner) -> None:
    """Experts are shared by all ranks, everything else is on each rank: more ranks of fewer GPUs need more."""
    by_size = {size: parts(over_hosts(two(ranks(size))))["gpu2"]["memory"]["weights"] for size in (2, 4)}
    assert by_size[2] < by_size[4] < 1.2 * by_size[2]


ORDERS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, ["a", "b", "c"], ["a", "b", "c"]),
    ({}, ["c", "a", "b"], ["c", "a", "b"]),
    ({"head": "b"}, ["a", "b", "c"], ["b", "a", "c"]),
    ({"head": "c"}, ["a", "b", "c"], ["c", "a", "b"]),
]


@pytest.mark.parametrize(("keys", "inventory", "ranks"), ORDERS)
def test_order(over_hosts: Planner, keys: dict[str, Any], inventory: list[str], ranks: list[str]) -> None:
    """The head first, then the order of the inventory."""
    found = parts(over_hosts({name: on(over(3, **keys)) for name in inventory}))
    assert [node["host"] for node in found["a"]["node"]["nodes"]] == ranks
    assert [found[name]["node"]["rank"] for name in ranks] == [0, 1, 2]
    assert [name for name in ranks if found[name]["url"]] == ranks[:1]


SIZES: list[tuple[int, dict[str, Any], Any, tuple[int, int]]] = [
    (2, {}, 8, (8, 2)),
    (3, {}, 8, (8, 3)),
    (2, {}, None, (1, 2)),
    (2, {"gpus": [0, 1, 2, 3]}, 8, (4, 2)),
    (2, {"vllm_args": {"pipeline_parallel_size": 4}}, 8, (4, 4)),
    (2, {"vllm_args": {"pipeline_parallel_size": 1}}, 8, (8, 1)),
    (2, {"vllm_args": {"tensor_parallel_size": 4}}, 8, (4, 4)),
    (2, {"vllm_args": {"tensor_parallel_size": 16}}, 8, (16, 1)),
    (2, {"vllm_args": {"tensor_parallel_size": 8, "pipeline_parallel_size": 2}}, None, (8, 2)),
]


@pytest.mark.parametrize(("nodes", "keys", "stated", "sizes"), SIZES)
def test_parallel_sizes(over_hosts: Planner, nodes: int, keys: dict[str, Any], stated: Any, sizes: tuple[int, int]) -> None:
    """Tensor parallel over the GPUs of a host, a stage each host, unless one of the two is given."""
    made = over_hosts({f"gpu{number}": on(over(nodes, **keys), plan_gpus=stated) for number in range(nodes)})
    if sizes == (8, 1):
        # Eight of sixteen GPUs, which is told.
        assert keys_of(made.errors) == [("big", "gpus")]
        return
    argv = parts(made)["gpu0"]["argv"]
    assert {f"--tensor-parallel-size={sizes[0]}", f"--pipeline-parallel-size={sizes[1]}"} <= set(argv)


INTERFACES = {"eth0": ["10.0.0.1"], "eth1": ["192.168.0.1", "192.168.0.101"], "lo": ["127.0.0.1"]}
ADDRESSES: list[tuple[dict[str, Any], str | None, dict[str, Any] | None, tuple[str, str]]] = [
    # Not known but from the inventory.
    ({}, None, None, ("gpu1", "")),
    ({}, "10.0.0.1", None, ("10.0.0.1", "")),
    ({"interface": "eth1"}, "10.0.0.1", None, ("10.0.0.1", "eth1")),
    # The address of the inventory is one of the host's.
    ({}, "192.168.0.1", {"interfaces": INTERFACES, "default_ipv4": "10.0.0.1"}, ("192.168.0.1", "eth1")),
    # It is not: a name, or an address that something translates.
    ({}, None, {"interfaces": INTERFACES, "default_ipv4": "10.0.0.1"}, ("10.0.0.1", "eth0")),
    ({}, "203.0.113.5", {"interfaces": INTERFACES, "default_ipv4": "10.0.0.1"}, ("10.0.0.1", "eth0")),
    ({}, "127.0.0.1", {"interfaces": INTERFACES, "default_ipv4": "10.0.0.1"}, ("10.0.0.1", "eth0")),
    # The interface decides.
    ({"interface": "eth1"}, "10.0.0.1", {"interfaces": INTERFACES}, ("192.168.0.1", "eth1")),
    ({"interface": "eth1"}, "192.168.0.101", {"interfaces": INTERFACES}, ("192.168.0.101", "eth1")),
    # Facts that know nothing of networks.
    ({"interface": "eth1"}, "10.0.0.1", {}, ("10.0.0.1", "eth1")),
    ({}, "10.0.0.1", {"interfaces": "eth0"}, ("10.0.0.1", "")),
]


@pytest.mark.parametrize(("keys", "address", "facts", "expected"), ADDRESSES)
def test_addresses(over_hosts: Planner, keys: dict[str, Any], address: str | None, facts: dict[str, Any] | None, expected: tuple[str, str]) -> None:
    """Where the other nodes reach a host, and over which of its interfaces."""
    hosts = two(over(**keys))
    if address is not None:
        hosts["gpu1"]["ansible_host"] = address
    known = {} if facts is None else {"gpu1": host_facts(gpus=gpus(8), **facts)}
    node = parts(over_hosts(hosts, **known))["gpu1"]["node"]
    assert (node["address"], node["interface"]) == expected


def spoilt(host: str, **variables: Any) -> Hosts:
    """Two hosts alike but for these variables of one."""
    hosts = two(over())
    hosts[host] = {**hosts[host], **variables}
    return hosts


def differing(**keys: Any) -> Hosts:
    """Two hosts whose services differ in these keys."""
    return {"gpu1": on(over()), "gpu2": on(over(**keys))}


# What does not fit together: hosts, facts, the one error's key, and words that it has to have.
ERRORS: list[tuple[str, Hosts, dict[str, Any], str, tuple[str, ...]]] = [
    # As many hosts as nodes.
    ("one missing", {"gpu1": on(over())}, {}, "distributed.nodes", ("2", "gpu1; 1 more is missing", "group")),
    ("two missing", two(over(4)), {}, "distributed.nodes", ("gpu1, gpu2; 2 more are missing", "nodes: 2")),
    ("one too many", {**two(over()), "gpu3": on(over())}, {}, "distributed.nodes", ("gpu1, gpu2, gpu3; 1 too many", "nodes: 3")),
    ("half of them on the fix", {"gpu1": on(over()), "gpu2": on({"name": "big", "state": "absent"})}, {}, "distributed.nodes", ("1 more is missing",)),
    ("a plain service of that name", {"gpu1": on(over()), "gpu2": on(over(distributed=...))}, {}, "distributed.nodes", ("1 more is missing",)),
    # The head.
    ("a head that is no node", two(over(head="gpu3")), {}, "distributed.head", ("gpu3", "this host does not define the service; gpu1, gpu2 do")),
    ("a head with a typing error", two(over(head="gpu22")), {}, "distributed.head", ("did you mean gpu2",)),
    # Nodes that disagree.
    ("vLLM", differing(vllm_version="0.31.0"), {}, "vllm_version", ("0.32.0, 0.31.0", "0.32.0 on gpu1, 0.31.0 on gpu2")),
    ("the host's vLLM", spoilt("gpu2", vllm_version="0.31.0"), {}, "vllm_version", ("0.31.0 on gpu2",)),
    ("the release", spoilt("gpu2", multi_node_ray_version="2.59.0"), {}, "release", ("on gpu1", "vllm_version and the other vllm_ settings")),
    ("the releases' directory", spoilt("gpu2", vllm_releases_dir="/srv/releases"), {}, "release", ("/srv/releases",)),
    ("the revision", differing(revision="a" * 40), {}, "revision", (f"{COMMIT} on gpu1",)),
    ("the weights' path", spoilt("gpu2", weights_dir="/data"), {}, "weights_dir", ("/data/Qwen--Qwen3-235B-A22B",)),
    ("the API's port", differing(port=8002), {}, "port", ("8001 on gpu1, 8002 on gpu2",)),
    ("the name", differing(served_model_name="other"), {}, "served_model_name", ("nothing on gpu1, other on gpu2",)),
    ("an argument", differing(vllm_args={"max_model_len": 4096}), {}, "vllm_args.max_model_len", ("nothing on gpu1, 4096 on gpu2",)),
    ("the backend", differing(backend="mp", vllm_requirements=["ray==2.60.0"]), {}, "distributed.backend", ("ray on gpu1, mp on gpu2",)),
    ("the meeting port", differing(port_of_meeting=6380), {}, "distributed.port", ("6379 on gpu1, 6380 on gpu2",)),
    ("the number of nodes", differing(nodes=3), {}, "distributed.nodes", ("2 on gpu1, 3 on gpu2",)),
    ("the head's name", {"gpu1": on(over(head="gpu1")), "gpu2": on(over(head="gpu2"))}, {}, "distributed.head", ("gpu1 on gpu1, gpu2 on gpu2",)),
    (
        "GPUs with mp",
        {"gpu1": on(over(backend="mp")), "gpu2": on(over(backend="mp"), plan_gpus=gpus(4, memory_bytes=2**38))},
        {},
        "gpus",
        ("8 on gpu1, 4 on gpu2", "backend: ray"),
    ),
    ("GPUs of one host unknown", spoilt("gpu2", plan_gpus=None), {}, "gpus", ("8 on gpu1, and that of gpu2 is unknown", "state the GPUs of gpu2 in plan_gpus")),
    (
        "GPUs of one host unknown with mp",
        {"gpu1": on(over(backend="mp")), "gpu2": on(over(backend="mp"), plan_gpus=None)},
        {},
        "gpus",
        ("state the GPUs of gpu2 in plan_gpus",),
    ),
    (
        "stages that do not divide a host",
        {
            "gpu1": on(over(vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 3})),
            "gpu2": on(over(gpus=[0, 1, 2, 3, 4, 5], vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 3})),
        },
        {},
        "vllm_args.tensor_parallel_size",
        ("has 4 GPUs", "vLLM has one tensor_parallel_size", "6 of gpu2", "tensor_parallel_size: 2"),
    ),
    (
        "idle GPUs of a larger host",
        {
            "gpu1": on(over(vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2})),
            "gpu2": on(over(gpus=[0, 1, 2, 3], vllm_args={"tensor_parallel_size": 4, "pipeline_parallel_size": 2}), plan_gpus=gpus(8, memory_bytes=2**39)),
        },
        {},
        "gpus",
        ("8 on gpu1, 4 on gpu2", "is 8 GPUs and the service has 12"),
    ),
    # Networks.
    ("one address", two(over(), ansible_host="10.0.0.1"), {}, "ansible_host", ("10.0.0.1", "gpu1 has the same address")),
    ("a loopback address", spoilt("gpu2", ansible_host="127.0.0.1"), {}, "ansible_host", ("cannot reach it",)),
    ("a loopback name", spoilt("gpu2", ansible_host="localhost"), {}, "ansible_host", ("cannot reach it",)),
    (
        "no such interface",
        two(over(interface="eth2")),
        {"gpu1": host_facts(gpus=gpus(8), interfaces={"eth2": ["10.0.0.1"]}), "gpu2": host_facts(gpus=gpus(8), interfaces={"bond0": ["10.0.0.2"]})},
        "distributed.interface",
        ("eth2", "choose among bond0"),
    ),
    # GPUs.
    (
        "three nodes for two stages",
        {f"gpu{number}": on(over(3, vllm_args={"pipeline_parallel_size": 2})) for number in (1, 2, 3)},
        {},
        "gpus",
        ("is 16 GPUs", "24"),
    ),
    ("too many ranks", two(over(vllm_args={"tensor_parallel_size": 8, "pipeline_parallel_size": 3})), {}, "gpus", ("is 24 GPUs", "has 16", "8 x 2")),
    (
        "a stage across hosts",
        {f"gpu{number}": on(over(3, model="a/b", vllm_args={"tensor_parallel_size": 12, "pipeline_parallel_size": 2})) for number in (1, 2, 3)},
        {},
        "vllm_args.tensor_parallel_size",
        ("a stage of 12 GPUs",),
    ),
    (
        "29 stages of 28 layers",
        {f"gpu{n}": on(over(29, model="qwen3-0.6b"), plan_gpus=1) for n in range(29)},
        {},
        "vllm_args.pipeline_parallel_size",
        ("28 layers", "29"),
    ),
    # Restarts.
    ("no restarts", two(over(), model_service_restart="no"), {}, "model_service_restart", ("restarts on all hosts together", "leave it true")),
    # Arguments.
    ("data parallel with Ray", two(over(vllm_args={"data_parallel_size": 2})), {}, "distributed.backend", ("ray", "write distributed.backend: mp")),
    ("odd ranks", two(ranks(3)), {}, "vllm_args.data_parallel_size", ("3 ranks cannot", "2 hosts with 8 GPUs each", "data_parallel_size: 4 (or 2, 8, 16)")),
    ("fewer ranks than hosts", {f"gpu{n}": on(ranks(2, nodes=3)) for n in (1, 2, 3)}, {}, "vllm_args.data_parallel_size", ("2 ranks", "data_parallel_size: 3")),
    ("odd ranks of unknown GPUs", two(ranks(5), plan_gpus=None), {}, "vllm_args.data_parallel_size", ("a multiple of 2, like 4",)),
    (
        "idle GPUs",
        two(ranks(4, tensor_parallel_size=2)),
        {},
        "gpus",
        ("tensor_parallel_size 2, 2 GPUs", "gpu1 has 8 for 2 of them, gpu2 has 8", "4 GPUs a rank"),
    ),
    ("stages in a rank", two(ranks(4, pipeline_parallel_size=3)), {}, "gpus", ("tensor_parallel_size 1 x pipeline_parallel_size 3, 3 GPUs",)),
    (
        "uneven hosts that no rank fills",
        {"gpu1": on(ranks(4)), "gpu2": on(ranks(4, gpus=[0, 1, 2, 3]))},
        {},
        "vllm_args.data_parallel_size",
        ("4 ranks cannot be distributed over hosts with 8 GPUs and 4 GPUs", "data_parallel_size: 3 (or 6, 12)"),
    ),
    (
        "no such flag yet",
        two({**ranks(4, vllm_version="0.9.0"), "model": "a/b"}),
        {},
        "distributed.backend",
        ("data parallel over several hosts with mp since 0.9.1",),
    ),
    ("its own arguments", two(ranks(4, data_parallel_size_local=2)), {}, "vllm_args.data_parallel_size_local", ("data_parallel_size is enough",)),
    ("another backend of ranks", two(ranks(4, data_parallel_backend="ray")), {}, "vllm_args.data_parallel_backend", ("starts its own ranks",)),
    (
        "the backend as an argument",
        two(over(vllm_args={"distributed_executor_backend": "mp"})),
        {},
        "vllm_args.distributed_executor_backend",
        ("distributed.backend",),
    ),
    ("mp before it was there", two(over(backend="mp", vllm_version="0.11.0")), {}, "distributed.backend", ("since 0.11.1", "backend: ray")),
    ("async scheduling", two(over(vllm_version="0.20.2")), {}, "vllm_args.pipeline_parallel_size", ("2", "tokens of different users")),
]


@pytest.mark.parametrize(("hosts", "facts", "key", "words"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(over_hosts: Planner, hosts: Hosts, facts: dict[str, Any], key: str, words: tuple[str, ...]) -> None:
    """One clear error for each, however many hosts it is about."""
    made = over_hosts(hosts, **facts)
    found = {(error.key, error.value, error.why, error.fix) for error in made.errors}
    assert {error[0] for error in found} == ({key} if key else set()), made.errors
    assert len(found) <= 1
    for error in made.errors:
        text = " | ".join(error.to_dict().values())
        assert error.service == "big" and all(word in text for word in words), text


PASSES: list[tuple[str, Hosts, dict[str, Any]]] = [
    ("GPUs of other numbers", {"gpu1": on(over(gpus=[0, 1, 2, 3])), "gpu2": on(over(gpus=[4, 5, 6, 7]))}, {}),
    ("mp as soon as it was there", two(over(backend="mp", vllm_version="0.11.1")), {}),
    ("async scheduling off", two(over(vllm_version="0.20.2", vllm_args={"async_scheduling": False})), {}),
    ("async scheduling put right", two(over(vllm_version="0.21.0")), {}),
    ("data parallel that is none", two(over(vllm_args={"data_parallel_size": 1})), {}),
    ("interfaces that differ", {"gpu1": on(over(interface="eth0")), "gpu2": on(over(interface="eth1"))}, {}),
    ("environments that differ", {"gpu1": on(over(environment={"NCCL_IB_HCA": "mlx5_0"})), "gpu2": on(over(environment={"NCCL_IB_HCA": "mlx5_1"}))}, {}),
    ("one more host without it", {**two(over()), "gpu3": on()}, {}),
    ("28 stages of 28 layers", {f"gpu{number}": on(over(28, model="qwen3-0.6b"), plan_gpus=1) for number in range(28)}, {}),
    ("a rehearsal on processors", two(over(vllm_version="0.32.0+cpu", gpus=...), plan_gpus=0), {}),
]


@pytest.mark.parametrize(("hosts", "facts"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_passes(over_hosts: Planner, hosts: Hosts, facts: dict[str, Any]) -> None:
    """The other side of each bound."""
    assert over_hosts(hosts, **facts).errors == []


def beside(**keys: Any) -> Hosts:
    """Two hosts that halve their GPUs between a service over both and another."""
    first, second = over(gpus=[0, 1, 2, 3], model="qwen3-32b"), {"name": "other", "gpus": [4, 5, 6, 7], "port": 8002, **keys}
    if "nodes" in second:
        return two(first, over(second.pop("nodes"), model="qwen3-32b", **second))
    return {"gpu1": on(first, service(model="qwen3-32b", **second)), "gpu2": on(first)}


PORTS: list[tuple[str, Hosts, list[tuple[str, str, str]]]] = [
    ("a service beside the head", beside(), []),
    ("the API's port twice", beside(port=8001), [("gpu1", "other", "port")]),
    ("Ray's port for an API", beside(port=6379), [("gpu1", "other", "port")]),
    ("two with Ray", beside(nodes=2), [("gpu1", "other", "distributed.port"), ("gpu2", "other", "distributed.port")]),
    ("two with Ray, nearly apart", beside(nodes=2, port_of_meeting=6506), [("gpu1", "other", "distributed.port")]),
    ("two with Ray, apart", beside(nodes=2, port_of_meeting=6507), []),
    ("two with Ray and heads of their own", beside(nodes=2, head="gpu2"), [("gpu1", "other", "distributed.port"), ("gpu2", "other", "distributed.port")]),
    ("heads of their own, one API port", beside(nodes=2, head="gpu2", port=8001, port_of_meeting=6507), []),
    ("Ray and mp", beside(nodes=2, backend="mp"), []),
    (
        "two with mp on one port",
        two(over(backend="mp", gpus=[0, 1]), over(2, "other", backend="mp", gpus=[2, 3], port=8002)),
        [("gpu1", "other", "distributed.port")],
    ),
    ("its own two", two(over(port_of_meeting=8001)), [("gpu1", "big", "distributed.port")]),
]


@pytest.mark.parametrize(("hosts", "expected"), [case[1:] for case in PORTS], ids=[case[0] for case in PORTS])
def test_ports(over_hosts: Planner, hosts: Hosts, expected: list[tuple[str, str, str]]) -> None:
    """A port is one service's, of those that the host listens on: the API of a head, and on each node what its backend listens on."""
    quiet = {name: {**variables, "plan_gpus": gpus(8, memory_bytes=2**39)} for name, variables in hosts.items()}
    assert [(error.host, error.service, error.key) for error in over_hosts(quiet).errors] == expected


LISTENERS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("a Redis where Ray is to be", {}, {"port": 6379, "unit": "redis-server.service"}, ["distributed.port"]),
    ("Ray itself", {}, {"port": 6379, "unit": "ray-head-big.service"}, []),
    ("vLLM's own processes", {"backend": "mp"}, {"port": 29501, "unit": "vllm-big.service"}, []),
    ("another's", {"backend": "mp"}, {"port": 29501, "unit": "vllm-other.service"}, ["distributed.port"]),
]


@pytest.mark.parametrize(("keys", "listener", "expected"), [case[1:] for case in LISTENERS], ids=[case[0] for case in LISTENERS])
def test_listeners(over_hosts: Planner, keys: dict[str, Any], listener: dict[str, Any], expected: list[str]) -> None:
    """What listens on the head's ports already; on a worker the same port is free to whoever has it."""
    facts = host_facts(gpus=gpus(8), listeners=[{"address": "10.0.0.1", "pid": 7, **listener}])
    assert [(error.host, error.key) for error in over_hosts(two(over(**keys)), gpu1=facts, gpu2=facts).errors] == [("gpu1", key) for key in expected]


RUNS: list[tuple[Run, list[str]]] = [
    (Run(), []),
    (Run(frozenset({"gpu1", "gpu2"})), []),
    (Run(frozenset({"gpu1", "gpu2", "gpu3"})), []),
    (Run(frozenset({"gpu3"})), []),
    (Run(frozenset({"gpu1"})), ["limit"]),
    (Run(frozenset({"gpu2", "gpu3"})), ["limit"]),
]


@pytest.mark.parametrize(("run", "expected"), RUNS)
def test_runs(over_hosts: Planner, run: Run, expected: list[str]) -> None:
    """A run reaches all of a service's hosts or none."""
    made = over_hosts({**two(over()), "gpu3": on(service(gpus=[0, 1, 2, 3]))}, run=run)
    assert [error.key for error in made.errors] == expected
    for error in made.errors:
        if error.key == "limit":
            missing = next(name for name in ("gpu1", "gpu2") if run.hosts is not None and name not in run.hosts)
            assert error.why.startswith(f"{missing} is not in this run") and "-l gpu1,gpu2" in error.fix


KEYS: list[tuple[Any, str, str]] = [
    ({"nodes": 1}, "distributed.nodes", "remove distributed"),
    ({"nodes": 0}, "distributed.nodes", "from 2 to 64"),
    ({"nodes": 65}, "distributed.nodes", "from 2 to 64"),
    ({"nodes": True}, "distributed.nodes", "from 2 to 64"),
    ({}, "distributed.nodes", "nodes: 2"),
    ({"nodes": None}, "distributed.nodes", "nodes: 2"),
    (True, "distributed", "key: value"),
    ({"nodes": 2, "backend": "dask"}, "distributed.backend", "write ray"),
    ({"nodes": 2, "interface": "eth0; rm"}, "distributed.interface", "like eth0"),
    ({"nodes": 2, "port": 1023}, "distributed.port", "from 1024"),
    ({"nodes": 2, "head": ""}, "distributed.head", "one word"),
    ({"nodes": 2, "hosts": ["gpu1", "gpu2"]}, "distributed.hosts", "distributed has nodes"),
    ({"nodes": 2, "interfaces": "eth0"}, "distributed.interfaces", "did you mean interface"),
]


@pytest.mark.parametrize(("value", "key", "words"), KEYS)
def test_keys(over_hosts: Planner, value: Any, key: str, words: str) -> None:
    """Each key of distributed, wrong: one error, and no other that follows from it."""
    made = over_hosts(two(over(distributed=value)))
    assert {(error.service, error.key) for error in made.errors} == {("big", key)}, made.errors
    assert words in made.errors[0].fix


def test_numbers_as_text(over_hosts: Planner) -> None:
    """The command line gives text."""
    assert parts(over_hosts(two(over(distributed={"nodes": "2", "port": "6400"}))))["gpu1"]["node"]["rendezvous_port"] == 6400


def test_gpus_that_the_service_does_not_use_do_not_matter(over_hosts: Planner) -> None:
    """They may be others on each node."""
    hosts = two(over(gpus=[0, 1, 2, 3], vllm_args={"max_model_len": 8192}))
    more = [{**gpu, "index": 8, "name": "NVIDIA L4"} for gpu in hosts["gpu2"]["plan_gpus"][:1]]
    hosts["gpu2"] = {**hosts["gpu2"], "plan_gpus": [*hosts["gpu2"]["plan_gpus"], *more]}
    made = over_hosts(hosts)
    assert made.errors == [] and not [warning for warning in made.warnings if "different GPUs" in warning]


def test_a_head_that_is_no_node_with_one_that_is(over_hosts: Planner) -> None:
    """The error is about one host as well as about two."""
    made = over_hosts({"gpu1": on(over(head="gpu3"))})
    assert "this host does not define the service; gpu1 does" in [error.why for error in made.errors if error.key == "distributed.head"]


WARNINGS: list[tuple[str, Hosts, str]] = [
    ("tensor parallel between hosts", two(over(vllm_args={"tensor_parallel_size": 16})), "runs tensor parallel across hosts"),
    ("other GPUs", spoilt("gpu2", plan_gpus=gpus(8, memory_bytes=97871 * 2**20)), "different GPUs (NVIDIA H20 on gpu1, NVIDIA H100 80GB HBM3 on gpu2)"),
    ("a profile for two hosts on one", {"gpu1": on(over(model="deepseek-v3.1", profile="2x8xh20", distributed=...))}, "write distributed: {nodes: 2}"),
]


@pytest.mark.parametrize(("hosts", "words"), [case[1:] for case in WARNINGS], ids=[case[0] for case in WARNINGS])
def test_warnings(over_hosts: Planner, hosts: Hosts, words: str) -> None:
    """What is worth knowing, and is not said of the usual."""
    assert any(words in warning for warning in over_hosts(hosts).warnings)
    assert over_hosts(two(over(model="deepseek-v3.1", profile="2x8xh20"))).warnings == []


def test_memory_is_that_of_a_stage(over_hosts: Planner) -> None:
    """Half of the weights on each host; on one host the same model does not fit."""
    found = parts(over_hosts(two(over())))
    weights = [found[name]["memory"]["weights"] for name in ("gpu1", "gpu2")]
    assert all(abs(size * 16 - 470_187_269_120) < 0.01 * 470_187_269_120 for size in weights)
    assert keys_of(over_hosts({"gpu1": on(over(distributed=..., gpus=[0, 1, 2, 3]))}).errors) == [("big", "gpus")]


STAGES: list[tuple[str, Hosts, list[tuple[list[str], int]], int | None]] = [
    ("two halves", two(over()), [(["gpu1"], 47), (["gpu2"], 47)], 2 * 2 * 4096),
    ("61 layers", two(over(model="deepseek-v3.1", profile="2x8xh20")), [(["gpu1"], 31), (["gpu2"], 30)], 2 * 2 * 7168),
    ("two stages a host", two(over(vllm_args={"tensor_parallel_size": 4})), [(["gpu1"], 23), (["gpu1"], 24), (["gpu2"], 24), (["gpu2"], 23)], 2 * 2 * 4096),
    ("the user's partition", two(over(environment={"VLLM_PP_LAYER_PARTITION": "46,48"})), [(["gpu1"], 46), (["gpu2"], 48)], 2 * 2 * 4096),
    ("stages on one host", {"gpu1": on(over(model="qwen3-32b", distributed=..., vllm_args={"pipeline_parallel_size": 2}))}, [(["gpu1"], 32)] * 2, 0),
    (
        "a stage on two hosts",
        {f"gpu{number}": on(over(4, vllm_args={"tensor_parallel_size": 16, "pipeline_parallel_size": 2})) for number in (1, 2, 3, 4)},
        [(["gpu1", "gpu2"], 47), (["gpu3", "gpu4"], 47)],
        None,
    ),
]


@pytest.mark.parametrize(("hosts", "stages", "network"), [case[1:] for case in STAGES], ids=[case[0] for case in STAGES])
def test_stages(over_hosts: Planner, hosts: Hosts, stages: list[tuple[list[str], int]], network: int | None) -> None:
    """Layers and place of each stage, and what goes over the network for a token."""
    found = parts(over_hosts(hosts))["gpu1"]["stages"]
    assert [(stage["hosts"], stage["layers"]) for stage in found["stages"]] == stages
    assert found["network_bytes_per_token"] == network
    # What fills the cache of one fills that of the others.
    caches = [stage["memory"]["kv_cache"] / stage["layers"] for stage in found["stages"]]
    assert max(caches) - min(caches) < 1


@pytest.mark.parametrize("service", [over(), over(backend="mp"), ranks(4)], ids=["ray", "mp", "ranks"])
@pytest.mark.parametrize("stated", [None, []], ids=["unknown", "none"])
def test_no_backend_is_offered_that_the_service_has(over_hosts: Planner, service: dict[str, Any], stated: Any) -> None:
    """Of a host with unknown GPUs, and of one without."""
    made = over_hosts({"gpu1": on(service), "gpu2": on(service, plan_gpus=stated)})
    found = [error for error in made.errors if error.key == "gpus" and error.service == "big"]
    offers = "distributed.backend: ray" in " ".join(error.fix for error in found)
    assert found and offers == (stated == [] and service == over(backend="mp"))


def of_sizes(*sizes: tuple[int, int], **keys: Any) -> Hosts:
    """Hosts with this number of GPUs of so many GiB each, and a service over all of them."""
    return {
        f"gpu{number}": on(over(len(sizes), **keys), plan_gpus=gpus(count, memory_bytes=gib * 2**30)) for number, (count, gib) in enumerate(sizes, 1)
    }


# Hosts of different sizes: GPUs and GiB of each, keys of the service; tensor parallel, the hosts of the stages and their layers.
UNEVEN: list[tuple[str, Hosts, int, list[str], list[int]]] = [
    ("more stages on more GPUs", of_sizes((8, 96), (4, 96)), 4, ["gpu1", "gpu1", "gpu2"], [31, 32, 31]),
    ("on a worker", of_sizes((4, 96), (8, 96)), 4, ["gpu1", "gpu2", "gpu2"], [31, 32, 31]),
    (
        "a tensor parallel size by hand",
        of_sizes((8, 96), (4, 96), vllm_args={"tensor_parallel_size": 2}),
        2,
        ["gpu1"] * 4 + ["gpu2"] * 2,
        [15, 16, 16, 16, 16, 15],
    ),
    # As many GPUs on each: a service that may run already keeps vLLM's stages, where they fit.
    ("vLLM's own stages where they fit", of_sizes((8, 141), (8, 80)), 8, ["gpu1", "gpu2"], [47, 47]),
    ("with mp too", of_sizes((8, 80), (8, 141), backend="mp"), 8, ["gpu1", "gpu2"], [47, 47]),
    ("more layers on more memory", of_sizes((8, 141), (8, 32)), 8, ["gpu1", "gpu2"], [79, 15]),
    ("more layers on more memory with mp", of_sizes((8, 32), (8, 141), backend="mp"), 8, ["gpu1", "gpu2"], [16, 78]),
    ("both", of_sizes((8, 80), (4, 141)), 4, ["gpu1", "gpu1", "gpu2"], [25, 25, 44]),
    ("nearly the same memory", of_sizes((8, 80), (8, 79)), 8, ["gpu1", "gpu2"], [47, 47]),
    # Ray orders the workers by ids, so that all have as many layers as the smallest can have.
    ("workers that Ray orders", of_sizes((8, 141), (8, 141), (8, 16)), 8, ["gpu1", "gpu2", "gpu3"], [81, 7, 6]),
    ("workers in order with mp", of_sizes((8, 141), (8, 141), (8, 16), backend="mp"), 8, ["gpu1", "gpu2", "gpu3"], [45, 46, 3]),
    ("the user's partition", of_sizes((8, 141), (8, 80), environment={"VLLM_PP_LAYER_PARTITION": "54,40"}), 8, ["gpu1", "gpu2"], [54, 40]),
]


@pytest.mark.parametrize(("hosts", "tensor", "places", "layers"), [case[1:] for case in UNEVEN], ids=[case[0] for case in UNEVEN])
def test_hosts_of_different_sizes(over_hosts: Planner, hosts: Hosts, tensor: int, places: list[str], layers: list[int]) -> None:
    """Whole stages on each host, more on one with more GPUs; more layers on GPUs with more memory, and the same numbers on all nodes."""
    found = parts(over_hosts(hosts))
    stages = found["gpu1"]["stages"]
    assert stages["tensor_parallel_size"] == tensor and [stage["hosts"] for stage in stages["stages"]] == [[place] for place in places]
    assert [stage["layers"] for stage in stages["stages"]] == layers
    assert len({service["environment"].get("VLLM_PP_LAYER_PARTITION") for service in found.values()}) == 1
    words = [word for service in found.values() for unit in service["units"] for word in unit["supervisor"] if word.startswith("--digest=")]
    assert len(set(words)) == 1
    assert all([stage["layers"] for stage in service["stages"]["stages"]] == layers for service in found.values())


def test_ray_is_given_the_gpus_of_each_node(over_hosts: Planner) -> None:
    """Each node's own number, and the look for Ray's nodes knows all of them."""
    found = parts(over_hosts(of_sizes((8, 96), (4, 96))))
    head = next(unit for unit in found["gpu1"]["units"] if unit["unit"].startswith("ray-head"))
    [worker] = found["gpu2"]["units"]
    assert "--num-gpus=8" in head["command"] and "--num-gpus=4" in worker["command"]
    assert "--check=8,4" in head["supervisor"] and "--check=8" in next(
        unit for unit in parts(over_hosts(two(over())))["gpu1"]["units"] if unit["unit"].startswith("ray-head")
    )["supervisor"]


def test_a_better_partition_has_more_room(over_hosts: Planner) -> None:
    """The tightest stage holds more tokens than with as many layers on each host."""
    better = parts(over_hosts(of_sizes((8, 80), (4, 141))))["gpu2"]["memory"]
    usual = parts(over_hosts(of_sizes((8, 80), (4, 141), environment={"VLLM_PP_LAYER_PARTITION": "31,32,31"})))["gpu2"]["memory"]
    assert better["concurrency"] > 1.3 * usual["concurrency"]


def test_who_accepts_the_memory_keeps_the_stages(over_hosts: Planner) -> None:
    """Its service runs, whatever the estimate is."""
    hosts = of_sizes((8, 141), (8, 32))
    made = over_hosts({name: {**variables, "plan_accept": {"memory": "it runs"}} for name, variables in hosts.items()})
    assert made.errors == [] and "VLLM_PP_LAYER_PARTITION" not in parts(made)["gpu1"]["environment"]


def test_stages_by_memory_that_do_not_fit_either_change_nothing(over_hosts: Planner) -> None:
    """The error is that of vLLM's own stages."""
    made = over_hosts(of_sizes((8, 40), (8, 24)))
    assert {error.check for error in made.errors} == {"memory"}


def test_stages_of_which_little_is_known(over_hosts: Planner) -> None:
    """Neither layers nor memory are known of a bare repository."""
    found = parts(over_hosts(two(over(model="someone/model", revision="a" * 40), plan_gpus=None)))["gpu1"]["stages"]
    assert [stage for stage in found["stages"]] == [{"hosts": ["gpu1"], "layers": None}, {"hosts": ["gpu2"], "layers": None}]
    assert found["network_bytes_per_token"] is None


def test_table(over_hosts: Planner) -> None:
    """Both hosts in the table, the stages once, and the head's command alone."""
    made = over_hosts(two(over()))
    lines = table.summary(list(made.hosts.values()))
    assert [line.split()[0] for line in lines[1:3]] == ["gpu1", "gpu2"]
    assert "(part of gpu1's)" in lines[2] and "http://gpu1:8001" in lines[1]
    assert lines[4] == "gpu1 / big: tensor parallel 8 x pipeline parallel 2 on 2 hosts with ray; GiB are per GPU"
    assert [line.split()[:4] for line in lines[6:8]] == [["1", "gpu1", "47", "(1-47)"], ["2", "gpu2", "47", "(48-94)"]]
    assert lines[8] == "  16.0 KiB of network traffic for each token"
    assert "\n".join(lines).count("vllm serve") == 1


def units(made: Plan, host: str) -> dict[str, dict[str, Any]]:
    """The units of the service on a host, by name."""
    return {unit["unit"]: unit for unit in parts(made)[host]["units"]}


def test_units_with_ray(over_hosts: Planner) -> None:
    """Ray's head node and the engine beside it, and on the worker Ray alone; the leader waits for all of them."""
    hosts = {"gpu1": on(over(), ansible_host="10.0.0.1"), "gpu2": on(over(), ansible_host="10.0.0.2")}
    made = over_hosts(hosts)
    head, worker = units(made, "gpu1"), units(made, "gpu2")
    assert list(head) == ["vllm-big.service", "ray-head-big.service"] and list(worker) == ["ray-worker-big.service"]
    assert [parts(made)[host]["unit"] for host in ("gpu1", "gpu2")] == ["vllm-big.service", "ray-worker-big.service"]
    leader = head["ray-head-big.service"]
    assert {"--worker=gpu2", "--worker=engine", "--listen=10.0.0.1", "--port=6380", "--ready-port=10.0.0.1:6379"} <= set(leader["supervisor"])
    assert leader["supervisor"][4] == "leader" and worker["ray-worker-big.service"]["supervisor"][4] == "worker"
    assert {"--head", "--block", "--port=6379", "--num-gpus=8", "--dashboard-host=127.0.0.1", "--include-dashboard=false"} <= set(leader["command"])
    assert {"--address=10.0.0.1:6379", "--num-gpus=8", "--node-ip-address=10.0.0.2"} <= set(worker["ray-worker-big.service"]["command"])
    engine = head["vllm-big.service"]
    assert engine["environment"]["RAY_ADDRESS"] == "10.0.0.1:6379" and engine["command"] == parts(made)["gpu1"]["argv"]
    assert "RAY_ADDRESS" not in leader["environment"] and leader["environment"]["RAY_AUTH_MODE"] == "token"
    # Only who answers has the service's own secrets.
    assert [unit["has_secrets"] for unit in (engine, leader, worker["ray-worker-big.service"])] == [True, False, False]


def test_units_with_mp(over_hosts: Planner) -> None:
    """One unit on each node; the head's supervisor is the leader and probes the engine."""
    made = over_hosts(two(over(backend="mp")))
    head, worker = units(made, "gpu1")["vllm-big.service"], units(made, "gpu2")["vllm-big.service"]
    assert {"--worker=gpu2", "--listen=gpu1", "--port=29502", "--engine=http://127.0.0.1:8001", "--backend=mp"} <= set(head["supervisor"])
    assert {"--leader-address=gpu1", "--leader-name=gpu1", "--name=gpu2"} <= set(worker["supervisor"])
    assert not [word for word in worker["supervisor"] if word.startswith("--engine")]
    assert "RAY_AUTH_MODE" not in head["environment"] and "ray==" not in str(made.hosts["gpu1"]["releases"])


def test_every_port_of_ray_is_pinned(over_hosts: Planner) -> None:
    """Each within the service's range, each once."""
    for host in ("gpu1", "gpu2"):
        for unit in units(over_hosts(two(over())), host).values():
            found = [int(word.rpartition("=")[2]) for word in unit["command"] if "-port=" in word and word.startswith("--") and "/ray" in unit["command"][0]]
            assert len(set(found)) == len(found) and all(6379 <= port < 6507 for port in found), found


def digests(made: Plan) -> set[str]:
    """What the parts of a service compare with each other."""
    return {word for host in made.hosts for unit in units(made, host).values() for word in unit["supervisor"] if word.startswith("--digest=")}


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("an argument", {"vllm_args": {"max_model_len": 4096}}, {}),
    ("the release", {"vllm_version": "0.31.0"}, {}),
    ("Ray", {}, {"multi_node_ray_version": "2.59.0"}),
    ("the head", {"head": "gpu2"}, {}),
    ("the port", {"port_of_meeting": 6600}, {}),
]


@pytest.mark.parametrize(("keys", "variables"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_digest(over_hosts: Planner, keys: dict[str, Any], variables: dict[str, Any]) -> None:
    """The same on all nodes, and another after a change."""
    before, after = digests(over_hosts(two(over()))), digests(over_hosts(two(over(**keys), **variables)))
    assert len(before) == len(after) == 1 and before != after


def test_nodes_have_their_own_way(over_hosts: Planner) -> None:
    """Interfaces and addresses of each node in its own environment, and none of it keeps nodes apart."""
    facts = {
        "gpu1": host_facts(gpus=gpus(8), interfaces={"eth0": ["10.0.0.1"]}),
        "gpu2": host_facts(gpus=gpus(8), interfaces={"bond0": ["10.0.0.2"]}),
    }
    hosts = {"gpu1": on(over(), ansible_host="10.0.0.1"), "gpu2": on(over(), ansible_host="10.0.0.2")}
    made = over_hosts(hosts, **facts)
    first, second = (units(made, host)[unit]["environment"] for host, unit in (("gpu1", "ray-head-big.service"), ("gpu2", "ray-worker-big.service")))
    assert (first["VLLM_HOST_IP"], first["GLOO_SOCKET_IFNAME"], first["NCCL_SOCKET_IFNAME"]) == ("10.0.0.1", "eth0", "eth0")
    assert (second["VLLM_HOST_IP"], second["GLOO_SOCKET_IFNAME"], second["NCCL_SOCKET_IFNAME"]) == ("10.0.0.2", "bond0", "bond0")
    assert len(digests(made)) == 1


def test_transport(over_hosts: Planner) -> None:
    """NCCL's settings of a network, what the user says over them, and what its log is checked against."""
    distributed = {"nodes": 2, "transport": "erdma"}
    made = over_hosts(two(over(distributed=distributed, environment={"NCCL_IB_GID_INDEX": "3"})))
    unit = units(made, "gpu1")["vllm-big.service"]
    assert unit["environment"]["NCCL_NET_GDR_LEVEL"] == "5" and unit["environment"]["NCCL_IB_GID_INDEX"] == "3"
    assert "--transport=NET/IB" in unit["supervisor"]
    assert parts(made)["gpu1"]["node"]["transport"] == {"name": "erdma", "expects": "NET/IB", "devices": True}


MORE_FAULTS: list[tuple[str, Hosts, dict[str, Any], str, str]] = [
    ("no such network", two(over(distributed={"nodes": 2, "transport": "rocee"})), {}, "distributed.transport", "did you mean roce"),
    ("beyond the last port", two(over(port_of_meeting=65500)), {}, "distributed.port", "65500 to 65627"),
    ("mp beyond it", two(over(backend="mp", port_of_meeting=65535)), {}, "distributed.port", "65535 to 65536"),
    ("a long name", two(over(name="a-name-that-is-too-long-for-sockets")), {}, "multi_node_ray_temp_dir", "shorter name"),
    ("Ray without a token", two(over(), multi_node_ray_version="2.51.0"), {}, "multi_node_ray_version", "2.54.0"),
    ("an old Ray", two(over(), multi_node_ray_version="2.53.0"), {}, "multi_node_ray_version", "2.54.0"),
    (
        "one name for both",
        two(over()),
        {name: host_facts(gpus=gpus(8), hostname="node") for name in ("gpu1", "gpu2")},
        "hostname",
        "gpu1 has the same hostname",
    ),
]


@pytest.mark.parametrize(("hosts", "facts", "key", "words"), [case[1:] for case in MORE_FAULTS], ids=[case[0] for case in MORE_FAULTS])
def test_more_errors(over_hosts: Planner, hosts: Hosts, facts: dict[str, Any], key: str, words: str) -> None:
    """What the units could not run with."""
    made = over_hosts(hosts, **facts)
    assert {error.key for error in made.errors} == {key}, made.errors
    assert any(words in " | ".join(error.to_dict().values()) for error in made.errors), made.errors


SHARED_MEMORY: list[tuple[str, int, bool]] = [("ray", 2**26, True), ("ray", 2**31, False), ("mp", 2**26, False), ("ray", 0, False)]


@pytest.mark.parametrize(("backend", "size", "refused"), SHARED_MEMORY)
def test_object_stores_fit_shared_memory(over_hosts: Planner, backend: str, size: int, refused: bool) -> None:
    """A container's 64 MiB are too little for Ray; mp has no object store; 0 stands for a host of which nothing is known."""
    shared = [{"mount": "/dev/shm", "free_bytes": size, "size_bytes": size}] if size else []
    facts = host_facts(gpus=gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20), mounts=[{"mount": "/", "free_bytes": 10**12}, *shared])
    found = over_hosts(two(over(backend=backend)), gpu1=facts).errors
    assert [(error.host, error.key) for error in found if error.key == "multi_node_ray_object_store_memory"] == ([("gpu1", "multi_node_ray_object_store_memory")] if refused else [])


def test_the_size_that_is_given_is_blamed(over_hosts: Planner) -> None:
    """A size that is not given is not named."""
    made = over_hosts(two(over(vllm_args={"tensor_parallel_size": 8, "pipeline_parallel_size": 2, "prefill_context_parallel_size": 2})))
    [error] = [error for error in made.errors if error.key == "gpus"]
    assert "prefill_context_parallel_size 2" in error.why and "data_parallel" not in error.why
