# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What turning the firewall on does to a host, hosts that do not answer, and hosts without IPv4."""

from __future__ import annotations

from typing import Any

from example_builders import args, example, hosts, one
from plan_builders import gpus, host_facts, service

BOTH = {"iptables": True, "ip6tables": True}
NFT = {"iptables": "nft", "ip6tables": "nft", "installed": True, "nft": False, "legacy": BOTH}
DENIES = {"enabled": True, "policies": {"INPUT": "DROP", "OUTPUT": "DROP"}}
OPEN = {"enabled": False, "policies": {"INPUT": "DROP", "OUTPUT": "ACCEPT"}}
EXPORTER = [{"port": 9100, "address": "::", "pid": 7, "unit": "prometheus-node-exporter.service", "program": "prometheus-node"}]
V6 = host_facts(interfaces={"eth0": ["2001:db8::1"]}, default_ipv6="2001:db8::1")


def firewall(listeners: Any = (), **keys: Any) -> dict[str, Any]:
    return host_facts(firewall={"ssh_ports": [22], **keys}, listeners=list(listeners))


def nodes(*addresses: str, **distributed: Any) -> Any:
    """A service over two hosts that have these addresses."""
    big = service(model="qwen3-235b-a22b", gpus=..., host="::", distributed={"nodes": 2, **distributed})
    h20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)
    facts = [host_facts(gpus=h20, hostname=f"gpu{number}", interfaces={"eth0": [address]}) for number, address in enumerate(addresses, 1)]
    both = zip(addresses, facts)
    return hosts(**{f"gpu{number}": {"model_services": [big], "ansible_host": address, "facts": fact} for number, (address, fact) in enumerate(both, 1)})


def by_hand(environment: dict[str, str], **distributed: Any) -> Any:
    big = service(model="qwen3-235b-a22b", gpus=..., distributed={"nodes": 2, **distributed}, environment=environment)
    h20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)
    return hosts(gpu1={"model_services": [big], "plan_gpus": h20}, gpu2={"model_services": [big], "plan_gpus": h20})


EXPERT = {"tensor_parallel_size": 2, "enable_expert_parallel": True}

EXAMPLES = [
    example(
        "kernel-supports-iptables",
        one(service(), facts=firewall(backend=NFT)),
        "update-alternatives --set iptables /usr/sbin/iptables-legacy",
        one(service(), facts=firewall(backend={**NFT, "iptables": "legacy", "ip6tables": "legacy"})),
        on_host=("firewall",),
    ),
    example(
        "kernel-supports-iptables",
        one(service(), facts=firewall(backend=NFT)),
        "firewall_enabled: false",
        one(service(), facts=firewall(backend=NFT), firewall_enabled=False),
    ),
    example(
        "deny-outgoing",
        one(service(), facts=firewall(state=DENIES)),
        "`ufw default allow outgoing`",
        one(service(), facts=firewall(state={"enabled": True, "policies": {"INPUT": "DROP", "OUTPUT": "ACCEPT"}})),
        on_host=("firewall",),
    ),
    example(
        "blocked-ports",
        one(service(), facts=firewall(EXPORTER, state=OPEN)),
        "firewall_open_ports, like [{port: 9100, sources: [10.0.0.0/8]}]",
        one(service(), facts=firewall(EXPORTER, state=OPEN), firewall_open_ports=[{"port": 9100, "sources": ["10.0.0.0/8"]}]),
    ),
    example(
        "facts-are-complete",
        one(service(), facts=host_facts(unanswered={"/var/lib/inferops/models": "it did not answer within 5 s"})),
        "umount --force --lazy",
        one(service(), facts=host_facts()),
        on_host=("unanswered",),
    ),
    example(
        "proxy-has-an-address",
        one(service(), host_proxy_username="somebody"),
        "set the proxy with host_http_proxy",
        one(service(), host_proxy_username="somebody", host_http_proxy="http://proxy.example:3128"),
    ),
    example("address-family-matches-the-host", one(service(), facts=V6), 'write host: "::"', one(service(host="::"), facts=V6)),
    example("ray-nodes-have-ipv4", nodes("2001:db8::1", "2001:db8::2"), "distributed.backend: mp", nodes("2001:db8::1", "2001:db8::2", backend="mp")),
    example("network-variables-are-not-set", by_hand({"NCCL_SOCKET_IFNAME": "eth0"}), "distributed.interface", by_hand({}, interface="eth0")),
    example("network-variables-are-not-set", by_hand({"MASTER_PORT": "29500"}), "remove it", by_hand({})),
    example(
        "data-parallel-hosts",
        one(args(**EXPERT, data_parallel_size=4, data_parallel_size_local=2)),
        "remove data_parallel_size_local and write data_parallel_size: 2",
        one(args(**EXPERT, data_parallel_size=2)),
    ),
]
