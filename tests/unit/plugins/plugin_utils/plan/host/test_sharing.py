# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights shared between hosts: who downloads, who copies from whom and over which address; weights that lie on a host already."""

from __future__ import annotations

import ipaddress

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from plan_builders import gpus, host_facts, keys_of, service

ACCEPTED = {"open-port": "of no matter here", "key-scope": "of no matter here"}
MODEL_PATH = "/var/lib/inferops/models/Qwen--Qwen3-235B-A22B-Instruct-2507-FP8/e156cb4efae43fbee1a1ab073f946a1377e6b969"
NAME = "qwen--qwen3-235b-a22b-instruct-2507-fp8-e156cb4e"

Plans = Callable[..., Plan]


def a_host(number: int, *services: Mapping[str, Any], facts: Any = None, **variables: Any) -> HostInput:
    """Host gpu<number> at 10.0.0.<number>, in the cluster's network at 10.1.0.<number>."""
    found = {"mounts": [{"mount": "/", "free_bytes": 10**13}], "interfaces": {"eth0": [f"10.0.0.{number}"], "ib0": [f"10.1.0.{number}"]}, **(facts or {})}
    wanted = {"weights_share": "peer", "ansible_host": f"10.0.0.{number}", "plan_accept": ACCEPTED, "model_services": list(services or [service()])}
    return HostInput(f"gpu{number}", {**wanted, **variables}, host_facts(gpus=gpus(), **found))


@pytest.fixture(name="plan_run")
def _plan_run(defaults: dict[str, Any], catalogue: Catalogue, tables: Tables) -> Plans:
    return lambda hosts, run=Run(): resolve(hosts, defaults, catalogue, tables, run=run)


def parts(plan: Plan) -> dict[str, tuple[str, str, str, list[str]]]:
    """Of each host's first weights: role, source, url and peers."""
    assert plan.errors == []
    shares = {name: document["weights"][0]["share"] for name, document in plan.hosts.items()}
    return {name: (share["role"], share["source"], share["url"], share["peers"]) for name, share in shares.items()}


def test_the_first_host_downloads(plan_run: Plans) -> None:
    """The others copy from it, and it is told for whom it serves."""
    plan = plan_run([a_host(1), a_host(2), a_host(3)])
    url = "http://10.0.0.1:8790"
    assert parts(plan) == {
        "gpu1": ("source", "gpu1", url, ["10.0.0.2", "10.0.0.3"]),
        "gpu2": ("follower", "gpu1", url, []),
        "gpu3": ("follower", "gpu1", url, []),
    }
    assert [host["weights_share_peers"] for host in plan.hosts.values()] == [["10.0.0.2", "10.0.0.3"], [], []]


def test_downloads_get_what_they_need_to_share(plan_run: Plans) -> None:
    """In the plan, with the host's own timeout; as numbers, though the command line gives text."""
    plan = plan_run([a_host(1), a_host(2, weights_share_stall_timeout="8"), a_host(3, weights_share="none")])
    found = [host["weights"][0]["share"]["download"] for host in plan.hosts.values()]
    assert [one["role"] for one in found] == ["source", "follower", "alone"]
    assert found[0]["export_dir"] == plan.hosts["gpu1"]["weights"][0]["path"] + ".share" and found[1]["stall_timeout"] == 8


def let_in(plan: Plan) -> dict[str, list[tuple[int, str]]]:
    """By host, who may fetch weights from it."""
    assert plan.errors == []
    rules = {name: document["firewall"]["rules"] for name, document in plan.hosts.items()}
    return {name: [(rule["port"], source) for rule in found if rule["comment"] == "inferops: weights" for source in rule["sources"]] for name, found in rules.items()}


@pytest.mark.parametrize("have", [{}, {"weights": [MODEL_PATH]}])
def test_peers_reach_each_other_whoever_has_them(plan_run: Plans, have: dict[str, Any]) -> None:
    """The firewall's rules are the same before and after the download: a second run changes nothing."""
    plan = plan_run([a_host(1, facts=have), a_host(2), a_host(3, weights_share="none"), a_host(4, weights_share_interface="ib0")])
    assert let_in(plan) == {
        "gpu1": [(8790, "10.0.0.2"), (8790, "10.1.0.4")],
        "gpu2": [(8790, "10.0.0.1"), (8790, "10.1.0.4")],
        "gpu3": [],
        "gpu4": [(8790, "10.0.0.1"), (8790, "10.0.0.2")],
    }


def test_many_peers_are_few_networks(plan_run: Plans) -> None:
    """64 hosts side by side: each lets in the other 63 and nobody else, in the fewest networks."""
    found = let_in(plan_run([a_host(number, ansible_host=f"10.0.1.{63 + number}") for number in range(1, 65)]))
    everybody = {ipaddress.ip_address(f"10.0.1.{63 + number}") for number in range(1, 65)}
    for number in (1, 30, 64):
        own = ipaddress.ip_address(f"10.0.1.{63 + number}")
        networks = [ipaddress.ip_network(source) for _port, source in found[f"gpu{number}"]]
        assert {address for network in networks for address in network} == everybody - {own} and len(networks) == 6


def test_what_nobody_else_wants_is_shared_with_nobody(plan_run: Plans) -> None:
    """Its port stays shut; the other two let each other in, and the third as well, to which they serve nothing."""
    other = {"model_services": [service(model="qwen3-8b")]}
    assert let_in(plan_run([a_host(1), a_host(2), a_host(3, **other)])) == {
        "gpu1": [(8790, "10.0.0.2/31")],
        "gpu2": [(8790, "10.0.0.1"), (8790, "10.0.0.3")],
        "gpu3": [],
    }


def test_a_mirror_is_reached_by_those_who_use_it(plan_run: Plans) -> None:
    """On a host that serves models too; no other host's port is opened."""
    mirror = {"weights_share": "mirror", "weights_mirror_host": "gpu1", "weights_mirror_address": "10.0.0.1"}
    plan = plan_run([a_host(1, **mirror), a_host(2, **mirror), a_host(3)])
    assert let_in(plan) == {"gpu1": [(8090, "10.0.0.2")], "gpu2": [], "gpu3": []}


def test_who_has_them_serves_them(plan_run: Plans) -> None:
    """A host with verified weights goes before the first; another that has them as well copies nothing."""
    have = {"weights": [MODEL_PATH]}
    plan = plan_run([a_host(1), a_host(2, facts=have), a_host(3, facts=have)])
    assert parts(plan) == {
        "gpu1": ("follower", "gpu2", "http://10.0.0.2:8790", []),
        "gpu2": ("source", "gpu2", "http://10.0.0.2:8790", ["10.0.0.1"]),
        "gpu3": ("alone", "", "", []),
    }


def test_nobody_serves_what_nobody_lacks(plan_run: Plans) -> None:
    """When all have them no host serves."""
    have = {"weights": [MODEL_PATH]}
    plan = plan_run([a_host(1, facts=have), a_host(2, facts=have)])
    assert {share[0] for share in parts(plan).values()} == {"alone"}
    assert [host["weights_share_peers"] for host in plan.hosts.values()] == [[], []]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"weights_share": "none"}, "it does not share"),
        ({"model_services": [service(model="qwen3-235b-a22b-thinking-2507-fp8")]}, "another model"),
        ({"model_services": [service(revision="0123456789012345678901234567890123456789")]}, "another revision"),
        ({"weights_exclude": ["*.md"]}, "other files"),
        ({"model_services": [service(weights_path="/mnt/models/qwen")]}, "it uses a folder of its own"),
    ],
)
def test_hosts_that_have_nothing_to_share(plan_run: Plans, second: dict[str, Any], why: str) -> None:
    """Each downloads for itself."""
    assert {share[0] for share in parts(plan_run([a_host(1), a_host(2, **second)])).values()} == {"alone"}, why


def test_only_hosts_of_the_run_share(plan_run: Plans) -> None:
    """A host that a limit leaves out cannot be told to serve."""
    plan = plan_run([a_host(1), a_host(2), a_host(3)], Run(frozenset(["gpu2", "gpu3"])))
    assert {name: share[:2] for name, share in parts(plan).items()} == {"gpu1": ("alone", ""), "gpu2": ("source", "gpu2"), "gpu3": ("follower", "gpu2")}


def test_the_interface_of_the_cluster(plan_run: Plans) -> None:
    """Of a multi-node service that of the service; one that the settings name goes before it."""
    spread = service(distributed={"nodes": 2, "backend": "mp", "interface": "ib0"}, vllm_args={"max_model_len": 4096})
    assert parts(plan_run([a_host(1, spread), a_host(2, spread)]))["gpu2"][2] == "http://10.1.0.1:8790"
    plan = plan_run([a_host(1, spread, weights_share_interface="eth0"), a_host(2, spread, weights_share_interface="eth0")])
    assert parts(plan)["gpu1"][2:] == ("http://10.0.0.1:8790", ["10.0.0.2"])
    plan = plan_run([a_host(number, weights_share_interface="ib0", weights_share_port=9000) for number in (1, 2)])
    assert parts(plan)["gpu1"][2:] == ("http://10.1.0.1:9000", ["10.1.0.2"])


def test_the_mirror_is_asked_first(plan_run: Plans) -> None:
    """And only by those who share through it."""
    variables = {"weights_endpoints": ["https://huggingface.co"], "weights_mirror_host": "cache1", "weights_mirror_address": "10.0.0.9"}
    plan = plan_run([a_host(1, weights_share="mirror", **variables), a_host(2, **variables)])
    assert plan.hosts["gpu1"]["weights"][0]["endpoints"] == ["http://10.0.0.9:8090", "https://huggingface.co"]
    assert plan.hosts["gpu2"]["weights"][0]["endpoints"] == ["https://huggingface.co"]
    assert parts(plan)["gpu1"][0] == "alone"


def test_a_folder_is_used_where_it_lies(plan_run: Plans) -> None:
    """It needs no disk, asks nobody, and what is found of it is kept apart from it."""
    host = a_host(1, service(weights_path="/mnt/models/qwen", weights_mount="/mnt/models"), facts={"mounts": [{"mount": "/", "free_bytes": 11 * 10**9}]})
    plan = plan_run([host])
    assert plan.errors == []
    (weights,) = plan.hosts["gpu1"]["weights"]
    assert (weights["path"], weights["local"], weights["mount"], weights["endpoints"], weights["to_fetch"]) == ("/mnt/models/qwen", True, "/mnt/models", [], 0)
    assert weights["record"] == f"/var/lib/inferops/verified/{weights['name']}.json"
    assert plan.hosts["gpu1"]["services"][0]["argv"][2] == "/mnt/models/qwen"


def test_two_folders_are_two_weights(plan_run: Plans) -> None:
    """Names tell them apart, though they are of one model."""
    services = [service(name=name, port=port, gpus=[gpu], model="qwen3-0.6b", weights_path=f"/srv/{name}") for name, port, gpu in (("a", 1801, 0), ("b", 1802, 1))]
    plan = plan_run([a_host(1, *services)])
    assert plan.errors == []
    assert len({weights["name"] for weights in plan.hosts["gpu1"]["weights"]}) == 2


def test_offline_weights_have_their_usual_place(plan_run: Plans) -> None:
    """A manifest that came with them does not make them verified: our own record does."""
    plan = plan_run([a_host(1, weights_offline=True, facts={"weights": [MODEL_PATH]})])
    assert plan.errors == []
    (weights,) = plan.hosts["gpu1"]["weights"]
    assert (weights["path"], weights["local"], weights["endpoints"], weights["verified"]) == (MODEL_PATH, True, [], False)
    plan = plan_run([a_host(1, weights_offline=True, facts={"verified": [MODEL_PATH]})])
    assert plan.hosts["gpu1"]["weights"][0]["verified"]


def test_nobody_is_asked_about_what_lies_here(defaults: dict[str, Any], catalogue: Catalogue) -> None:
    """Neither for hosts that are offline nor for services with a folder."""
    unknown = {"name": "a", "model": "some/model", "port": 1801}
    assert len(questions(HostInput("gpu1", {"model_services": [unknown]}), defaults, catalogue)) == 1
    assert questions(HostInput("gpu1", {"model_services": [unknown], "weights_offline": True}), defaults, catalogue) == []
    assert questions(HostInput("gpu1", {"model_services": [{**unknown, "weights_path": "/srv/a"}]}), defaults, catalogue) == []


ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, str]]] = [
    ("mirror without a host", {}, {"weights_share": "mirror"}, {}, ("", "weights_mirror_host")),
    ("mirror on an unknown host", {}, {"weights_share": "mirror", "weights_mirror_host": "nowhere"}, {}, ("", "weights_mirror_host")),
    ("unknown word", {}, {"weights_share": "torrent"}, {}, ("", "weights_share")),
    ("a service's own port", {"port": 8790}, {}, {}, ("qwen", "weights_share_port")),
    ("a port in use", {}, {}, {"listeners": [{"port": 8790, "address": "0.0.0.0", "pid": 7, "unit": "other.service"}]}, ("", "weights_share_port")),
    ("no such interface", {}, {"weights_share_interface": "ib1"}, {}, ("", "weights_share_interface")),
    ("a relative path", {"weights_path": "models/qwen"}, {}, {}, ("qwen", "weights_path")),
    ("a hidden path", {"weights_path": "/home/me/qwen"}, {}, {}, ("qwen", "weights_path")),
    ("a mount without a path", {"weights_mount": "/mnt"}, {}, {}, ("qwen", "weights_mount")),
    ("a mount elsewhere", {"weights_path": "/srv/qwen", "weights_mount": "/mnt"}, {}, {}, ("qwen", "weights_mount")),
    ("nothing mounted", {"weights_path": "/mnt/qwen", "weights_mount": "/mnt"}, {}, {"mount_points": ["/", "/proc"]}, ("qwen", "weights_mount")),
]


@pytest.mark.parametrize(("of_service", "variables", "facts", "where"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(plan_run: Plans, of_service: dict[str, Any], variables: dict[str, Any], facts: dict[str, Any], where: tuple[str, str]) -> None:
    """Each is one error, at its place."""
    plan = plan_run([a_host(1, service(**of_service), facts=facts, **variables)])
    assert keys_of(plan.errors) == [where]


def test_errors_of_the_mirror_differ(plan_run: Plans) -> None:
    """A host that is not named, and one that is not there."""
    said = [plan_run([a_host(1, weights_share="mirror", weights_mirror_host=name)]).errors[0].why for name in ("", "nowhere")]
    assert said == ["weights_share is mirror, and no mirror host is set", "the inventory has no host of this name"]


def test_our_own_server_is_no_stranger(plan_run: Plans) -> None:
    """What still serves from a run that was cut off is not in the way of the next."""
    listeners = [{"port": 8790, "address": "10.0.0.1", "pid": 7, "unit": "inferops-share.service"}]
    assert plan_run([a_host(1, facts={"listeners": listeners})]).errors == []
