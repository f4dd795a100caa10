# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interfaces, routes and packet sizes of multi-node services."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import network
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.commands import Unread
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context, Known, Peer
from diagnosis_builders import names, only, unit

ADDRESSES = """[
 {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "operstate": "UNKNOWN", "mtu": 65536, "addr_info": [{"local": "127.0.0.1"}]},
 {"ifname": "eth0", "flags": ["UP"], "operstate": "UP", "mtu": 1500, "addr_info": [{"local": "10.0.0.1"}]},
 {"ifname": "eth1", "flags": ["UP"], "operstate": "UP", "mtu": 9000, "addr_info": [{"local": "10.1.0.1"}]},
 {"ifname": "eth2", "flags": ["UP"], "operstate": "DOWN", "mtu": 1500, "addr_info": []}]"""


class Host:
    """What commands print: the device of the route, the path's MTU, the sizes that ping gets through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device, self.mtu, self.pings = "eth1", 9000, [0, 8972]
        monkeypatch.setattr(network, "output", self.output)
        monkeypatch.setattr(network, "path_mtu", lambda address: ("10.1.0.1", self.mtu))
        monkeypatch.setattr(network, "is_installed", lambda command: True)

    def output(self, *command: str, **_options: Any) -> str:
        if command[0] == "ping":
            if int(command[command.index("-s") + 1]) not in self.pings:
                raise Unread("no answer")
            return ""
        return ADDRESSES if "address" in command else f'[{{"dev": "{self.device}"}}]'


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def of(**environment: str) -> Context:
    known = Known(address="10.1.0.1", interface="eth1", peers=[Peer("gpu2", "10.1.0.2")])
    return Context(units=[unit(environment=environment)], known={"q": known})


VARIABLES = [
    ("eth1", []), ("=eth1", []), ("^lo,docker", []), ("eth", []), ("", []),
    ("ib0", ["network-interface"]), ("eth0", ["network-interface"]), ("=eth", ["network-interface"]), ("eth2", ["network-interface"]),
    ("^eth1", ["network-interface"]),
]


@pytest.mark.parametrize(("value", "expected"), VARIABLES)
def test_variables(host: Host, value: str, expected: list[str]) -> None:
    assert names(network.check(of(NCCL_SOCKET_IFNAME=value))) == expected


def test_what_is_wrong_with_an_interface(host: Host) -> None:
    for value, words in (("ib0", "names no interface of this host, which has eth0, eth1, eth2"), ("eth2", "names eth2, which is down"),
                         ("eth0", "names eth0, which does not have the node's address 10.1.0.1")):
        assert words in only(network.check(of(NCCL_SOCKET_IFNAME=value))).cause


def test_each_variable_is_read(host: Host) -> None:
    assert names(network.check(of(NCCL_SOCKET_IFNAME="a", GLOO_SOCKET_IFNAME="b", TP_SOCKET_IFNAME="c"))) == ["network-interface"] * 3


PATHS = [
    ("eth1", 9000, [0, 8972], []),
    ("eth0", 9000, [0, 8972], ["network-route"]),
    ("eth1", 1500, [0], ["mtu-path"]),
    ("eth1", 1500, [0, 8972], ["mtu-path"]),
    ("eth1", 9000, [0], ["mtu-path"]),
    # A host that answers no ping at all says nothing about sizes.
    ("eth1", 9000, [], []),
]


@pytest.mark.parametrize(("device", "mtu", "pings", "expected"), PATHS)
def test_paths(host: Host, device: str, mtu: int, pings: list[int], expected: list[str]) -> None:
    host.device, host.mtu, host.pings = device, mtu, pings
    assert names(network.check(of())) == expected


def test_a_service_on_one_host_has_no_network_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "output", lambda *command: pytest.fail("nothing is to be read"))
    assert names(network.check(Context(units=[unit(environment={"NCCL_SOCKET_IFNAME": "ib0"})]))) == []


def test_the_mtu_of_loopback_is_known() -> None:
    """The real socket options."""
    address, mtu = network.path_mtu("127.0.0.1")
    assert address == "127.0.0.1" and 65535 <= mtu <= 65536


def test_loopback_is_no_path_with_a_smaller_packet(host: Host) -> None:
    host.device, host.pings = "lo", [0, 65507]
    links = {"lo": {"mtu": 65536, "is_up": True, "addresses": ["10.1.0.1"]}}
    host.mtu = 65535
    assert names(network._packets("q", Peer("gpu2", "127.0.0.1"), links)) == []
