# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connectivity between the nodes of a service: what a host sees, and what all of them together make of it."""

from __future__ import annotations

import os
import socket
import threading
import time

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.filter import multi_node_network as filters
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _multi_node_network


def service(rank: int = 0, **node: Any) -> dict[str, Any]:
    """A service over two hosts as the plan has it, on one of them."""
    nodes = [{"rank": 0, "host": "a", "address": "10.0.0.1", "interface": "eth0"}, {"rank": 1, "host": "b", "address": "10.0.0.2", "interface": "eth0"}]
    own = {"rank": rank, "nodes": nodes, "interface": "eth0", "ports": {"rendezvous": 6379, "supervisor": 6380, "dashboard": 6384}, "network": "n", "transport": None, **node}
    return {"name": "big", "node": own}


def seen(host: str, rdma: list[dict[str, str]] | None = None, **way: Any) -> dict[str, Any]:
    """What one host has seen of another."""
    return {"peers": {host: {"interface": "eth0", "source": "10.0.0.9", "mtu": 1500, "closed": {}, "skew": 0.1, **way}}, "rdma": rdma or []}


ROCE = {"name": "roce", "expects": "NET/IB", "devices": True}
ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ("all is well", service(), {"a": seen("b"), "b": seen("a")}, ()),
    ("no route", service(), {"a": seen("b", interface="", mtu=0), "b": seen("a")}, ("big: a to b (10.0.0.2): there is no route",)),
    ("another interface", service(), {"a": seen("b", interface="eth1"), "b": seen("a")}, ("uses the interface eth1, and the plan uses eth0",)),
    ("a shut port", service(), {"a": seen("b", closed={"6382": "timed out"}), "b": seen("a")}, ("these ports do not answer: 6382 (timed out)",)),
    ("many shut ports", service(), {"a": seen("b", closed={str(n): "timed out" for n in range(9)}), "b": seen("a")}, ("and 5 more",)),
    ("clocks", service(), {"a": seen("b", skew=-7.26), "b": seen("a")}, ("its clock is -7.3 s off, and 5 s are allowed",)),
    ("no clock told", service(), {"a": seen("b", skew=None), "b": seen("a")}, ()),
    ("MTU", service(), {"a": seen("b", mtu=9000), "b": seen("a")}, ("a has an MTU of 9000 (eth0) and b one of 1500 (eth0)",)),
    ("MTU, told once", service(1), {"a": seen("b", mtu=9000), "b": seen("a")}, ()),
    ("no RDMA", service(transport=ROCE), {"a": seen("b"), "b": seen("a")}, ("needs an RDMA device that is active, and a has none",)),
    (
        "RDMA that is down",
        service(transport=ROCE),
        {"a": seen("b", rdma=[{"name": "mlx5_0", "state": "DOWN", "link_layer": "Ethernet"}]), "b": seen("a")},
        ("a has mlx5_0 (DOWN)",),
    ),
    ("RDMA", service(transport=ROCE), {"a": seen("b", rdma=[{"name": "mlx5_0", "state": "ACTIVE", "link_layer": "Ethernet"}]), "b": seen("a")}, ()),
    ("a host that saw nothing", service(), {}, ()),
]


@pytest.mark.parametrize(("planned", "found", "words"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(planned: dict[str, Any], found: dict[str, Any], words: tuple[str, ...]) -> None:
    errors = filters.multi_node_network_errors([planned], found, 5)
    assert len(errors) == len(words) and all(word in error for word, error in zip(words, errors, strict=True)), errors


def test_a_node_of_two_services_is_checked_once() -> None:
    """With the ports of both."""
    b = {"host": "b", "address": "10.0.0.2"}
    given = [{**b, "ports": [6380, 6387]}, {"host": "c", "address": "10.0.0.3", "ports": [6380]}, {**b, "ports": [6380, 6600]}]
    assert _multi_node_network.each_once(given) == [{**b, "ports": [6380, 6387, 6600]}, given[1]]
    assert given[0]["ports"] == [6380, 6387]


UNCHECKED = [({"a": "n", "b": "n"}, 0), ({"a": "n"}, 1), ({"a": "n", "b": "old"}, 1), ({}, 1)]


@pytest.mark.parametrize(("stamps", "count"), UNCHECKED)
def test_a_network_is_checked_when_both_nodes_have_the_record(stamps: dict[str, str], count: int) -> None:
    facts = {host: {"checked": {"network-big": stamp}} for host, stamp in stamps.items()}
    assert len(filters.unchecked_networks([service()], facts)) == count


def free_ports(count: int) -> list[int]:
    made = [socket.create_server(("127.0.0.1", 0)) for _number in range(count)]
    ports = [server.getsockname()[1] for server in made]
    for server in made:
        server.close()
    return ports


def test_ports_answer_with_the_time() -> None:
    """Whoever listens already is left alone, and answers as well; a port that nobody has is closed."""
    ours, theirs, nobodys = free_ports(3)
    with socket.create_server(("127.0.0.1", theirs)):
        assert _multi_node_network.listen_for("127.0.0.1", [ours, theirs], 3) == [theirs]
        found = _multi_node_network.look_at("127.0.0.1", [ours, theirs, nobodys])
    assert found["closed"] == {str(nobodys): "Connection refused"} and abs(found["skew"]) < 1
    assert found["interface"] == "lo"
    deadline = time.monotonic() + 20
    while _multi_node_network.reach("127.0.0.1", ours)[0] != "Connection refused":
        assert time.monotonic() < deadline, "it listens for ever"
        time.sleep(0.3)
    os.waitpid(-1, 0)


def test_what_a_dead_run_left_listening_is_nobodys_and_goes() -> None:
    """The plan does not take it for somebody on the service's ports, and the next trial ends it."""
    [port] = free_ports(1)
    _multi_node_network.listen_for("127.0.0.1", [port], 60)
    assert _multi_node_network.reach("127.0.0.1", port)[0] == ""
    assert [row for row in _host.read_listeners() if row["port"] == port] == []
    _multi_node_network.end_listening()
    deadline = time.monotonic() + 10
    while _multi_node_network.reach("127.0.0.1", port)[0] != "Connection refused":
        assert time.monotonic() < deadline, "it still listens"
        time.sleep(0.1)
    os.waitpid(-1, 0)


def test_another_clock_is_seen() -> None:
    """Ahead by an hour."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _address = server.accept()
        connection.sendall(f"inferops {time.time() + 3600:.6f}\n".encode())
        connection.close()

    threading.Thread(target=answer, daemon=True).start()
    error, skew = _multi_node_network.reach("127.0.0.1", server.getsockname()[1])
    assert error == "" and skew is not None and abs(skew - 3600) < 2


def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(OSError):
        _multi_node_network.listen_for("192.0.2.1", free_ports(1), 1)


def test_rdma_devices(tmp_path: Path) -> None:
    port = tmp_path / "mlx5_0" / "ports" / "1"
    port.mkdir(parents=True)
    (port / "state").write_text("4: ACTIVE\n")
    (port / "link_layer").write_text("InfiniBand\n")
    assert _multi_node_network.rdma_devices(str(tmp_path)) == [{"name": "mlx5_0", "state": "ACTIVE", "link_layer": "InfiniBand"}]
