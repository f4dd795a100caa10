# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom the plan lets in, and what it refuses to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.host import firewall as host_firewall
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, host_facts, service

Plans = Callable[..., Plan]
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
FROM_7 = {"connection": {"client": "192.0.2.7"}, "ssh_ports": [22]}


def known(**keys: Any) -> dict[str, Any]:
    """Facts of a host of whose firewall this is known."""
    return host_facts(firewall={"ssh_ports": [22], **keys})


def rules(made: Plan, host: str = "gpu1") -> list[tuple[int | None, str, str]]:
    """Port, source and comment of each rule of a host."""
    assert not made.errors, made.errors
    return [(rule["port"], source, rule["comment"]) for rule in made.hosts[host]["firewall"]["rules"] for source in rule["sources"]]


def test_a_service_and_ssh(plan: Plans) -> None:
    """SSH from everywhere, first; the service from private networks."""
    made = plan(service(), facts=known(ssh_ports=[22, 2222]))
    ssh = [(port, source, "inferops: ssh") for port in (22, 2222) for source in ("0.0.0.0/0", "::/0")]
    assert rules(made) == ssh + [(8001, source, "inferops: api qwen") for source in PRIVATE]
    firewall = made.hosts["gpu1"]["firewall"]
    assert firewall["service_comments"] == {"all": ["inferops: api qwen"], "qwen": ["inferops: api qwen"]}
    assert (firewall["enabled"], firewall["logging"], firewall["rollback_timeout"], firewall["needed"]) == (True, "", 60, True)
    assert made.hosts["gpu1"]["packages"] == ["conntrack", "ufw"]


@pytest.mark.parametrize(
    ("services", "variables", "expected"),
    [
        ([service(host="127.0.0.1")], {}, []),
        ([service(host="::1")], {}, []),
        ([{"name": "qwen", "state": "absent", "port": 8001}], {}, []),
        ([service()], {"firewall_enabled": False}, []),
        ([service()], {"firewall_api_sources": ["192.0.2.7"]}, [(8001, "192.0.2.7/32", "inferops: api qwen")]),
        ([service()], {"firewall_api_sources": ["192.0.2.0/24", "192.0.2.0/24"]}, [(8001, "192.0.2.0/24", "inferops: api qwen")]),
        ([service(api_key="k")], {"firewall_api_sources": ["any"]}, [(8001, source, "inferops: api qwen") for source in ("0.0.0.0/0", "::/0")]),
    ],
    ids=["loopback", "loopback by IPv6", "absent", "left alone", "an address", "said twice", "everybody, with a key"],
)
def test_api(plan: Plans, services: list[dict[str, Any]], variables: dict[str, Any], expected: list[tuple[int, str, str]]) -> None:
    assert rules(plan(*services, **variables)) == expected


def test_ssh_is_kept_to_its_sources(plan: Plans) -> None:
    made = plan(facts=known(**FROM_7), firewall_ssh_sources=["192.0.2.0/24"])
    assert rules(made) == [(22, "192.0.2.0/24", "inferops: ssh")]


def test_left_alone_nothing_is_installed(plan: Plans) -> None:
    made = plan(service(), firewall_enabled=False)
    assert "ufw" not in made.hosts["gpu1"]["packages"] and not made.hosts["gpu1"]["firewall"]["enabled"]


def test_logging_as_yaml_reads_it(plan: Plans) -> None:
    """A bare off is false to YAML."""
    said = {value: plan(firewall_logging=value).hosts["gpu1"]["firewall"]["logging"] for value in (False, True, "medium", "OFF")}
    assert said == {False: "off", True: "low", "medium": "medium", "OFF": "off"}


ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("a length beyond 32", {}, {"firewall_api_sources": ["10.0.0.0/33"]}, "firewall_api_sources", "10.0.0.0/33 is not a network"),
    ("bits beyond the length", {}, {"firewall_api_sources": ["10.0.0.1/8"]}, "firewall_api_sources", "did you mean 10.0.0.0/8 (or 10.0.0.1 alone)?"),
    ("a name", {}, {"firewall_ssh_sources": ["office"]}, "firewall_ssh_sources", "office is not a network"),
    ("not a list", {}, {"firewall_api_sources": "10.0.0.0/8"}, "firewall_api_sources", "where a list belongs"),
    ("nobody for the services", {}, {"firewall_api_sources": []}, "firewall_api_sources", "firewall_enabled: false"),
    ("nobody for SSH", {}, {"firewall_ssh_sources": []}, "firewall_ssh_sources", "no client could reach the host by SSH"),
    ("a logging level", {}, {"firewall_logging": "verbose"}, "firewall_logging", "no such logging level"),
    ("no time to confirm", {}, {"firewall_rollback_timeout": 5}, "firewall_rollback_timeout", "20 to 600"),
    ("everybody, and no key", {}, {"firewall_api_sources": ["any"]}, "firewall_api_sources", "has no api_key"),
    ("everybody in halves", {}, {"firewall_api_sources": ["0.0.0.0/1", "128.0.0.0/1"]}, "firewall_api_sources", "has no api_key"),
    ("everybody by IPv6", {}, {"firewall_api_sources": ["::/0"]}, "firewall_api_sources", "accept it as public-access in plan_accept, with a reason"),
    ("the controller is shut out", {"facts": known(**FROM_7)}, {"firewall_ssh_sources": ["10.0.0.0/8"]}, "firewall_ssh_sources", "add 192.0.2.7"),
    ("another manager", {"facts": known(others=["firewalld is active"])}, {}, "firewall_enabled", "firewalld is active"),
    ("SSH's port", {}, {"port": 22}, "port", "this is SSH's port"),
    ("another port of SSH", {"facts": known(ssh_ports=[22, 8001])}, {}, "port", "this is SSH's port"),
]


@pytest.mark.parametrize(("given", "variables", "key", "text"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors(plan: Plans, given: dict[str, Any], variables: dict[str, Any], key: str, text: str) -> None:
    """One error each, which says what is wrong and how it is put right."""
    keys = {name: variables[name] for name in variables if name == "port"}
    made = plan(service(**keys), **given, **{name: value for name, value in variables.items() if name != "port"})
    assert [error.key for error in made.errors] == [key], made.errors
    assert text in f"{made.errors[0].why}; {made.errors[0].fix}"


def test_sshds_own_socket_is_not_offered_to_be_stopped(plan: Plans) -> None:
    """It listens on the port, which is one error and not two."""
    listeners = [{"port": 2222, "address": "0.0.0.0", "pid": 7, "unit": "ssh.service"}]
    made = plan(service(port=2222), facts=host_facts(listeners=listeners, firewall={"ssh_ports": [2222]}))
    assert [error.why for error in made.errors] == ["this is SSH's port"]


@pytest.mark.parametrize(
    ("facts", "variables"),
    [
        (known(**FROM_7), {"firewall_ssh_sources": ["192.0.2.0/24"]}),
        (known(connection={"client": "127.0.0.1"}), {"firewall_ssh_sources": ["10.0.0.0/8"]}),
        (known(), {"firewall_ssh_sources": ["10.0.0.0/8"]}),
        (known(others=["firewalld is active"]), {"firewall_enabled": False}),
        (known(), {"firewall_enabled": False, "firewall_api_sources": [], "firewall_ssh_sources": []}),
        (None, {"firewall_api_sources": ["10.0.0.0/8", "192.0.2.0/25"]}),
    ],
    ids=["the controller's network", "from the host itself", "not by SSH", "left alone with another manager", "left alone without sources", "networks"],
)
def test_passes(plan: Plans, facts: Any, variables: dict[str, Any]) -> None:
    assert plan(service(), facts=facts, **variables).errors == []


def test_everybody_on_explicit_wish(plan: Plans) -> None:
    """Accepted, it is a warning that quotes the reason."""
    reasons = {"public-access": "behind the provider's own firewall", "open-port": "x", "key-scope": "x"}
    made = plan(service(), firewall_api_sources=["any"], plan_accept=reasons)
    assert [rule[1] for rule in rules(made)] == ["0.0.0.0/0", "::/0"]
    assert "behind the provider's own firewall" in made.warnings[0]


@pytest.mark.parametrize(
    ("variables", "reach"),
    [
        ({}, "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7 (firewall_api_sources)"),
        ({"firewall_enabled": False}, "any source, since firewall_enabled is false"),
    ],
)
def test_the_warning_of_an_open_port_says_to_whom_it_is_open(plan: Plans, variables: dict[str, Any], reach: str) -> None:
    made = plan(service(), plan_accept={"key-scope": "x"}, **variables)
    assert [warning for warning in made.warnings if "[open-port]" in warning and f"can use it: {reach}; " in warning], made.warnings


def test_published_ports(plan: Plans) -> None:
    """A port of ours is reported apart from the others, and all of it can be accepted."""
    made = plan(service(), facts=known(published=[80, 8001]))
    assert ["port 8001: it answers instead of the service" in warning for warning in made.warnings] == [True, False]
    assert "containers publish port 80, which" in made.warnings[1]
    accepted = {name: "x" for name in ("published-ports", "open-port", "key-scope")}
    assert plan(service(), facts=known(published=[80]), plan_accept=accepted).warnings == []
    assert plan(service(), facts=known(published=[80]), firewall_enabled=False).warnings == []


OPEN = {"enabled": False, "policies": {"INPUT": "DROP", "OUTPUT": "ACCEPT"}}
NODE_EXPORTER = {"port": 9100, "address": "::", "pid": 7, "unit": "prometheus-node-exporter.service", "program": "prometheus-node"}
LISTENERS = [
    NODE_EXPORTER,
    {"port": 2049, "address": "0.0.0.0", "pid": None, "unit": "", "program": ""},
    {"port": 10250, "address": "::", "pid": 9, "unit": "kubelet.service", "program": "kubelet"},
    {"port": 22, "address": "0.0.0.0", "pid": 1, "unit": "ssh.service", "program": "sshd"},
    {"port": 8001, "address": "0.0.0.0", "pid": 5, "unit": "vllm-qwen.service", "program": "vllm"},
    {"port": 5432, "address": "127.0.0.1", "pid": 6, "unit": "postgresql.service", "program": "postgres"},
    {"port": 8080, "address": "0.0.0.0", "pid": 8, "unit": "docker.service", "program": "docker-proxy"},
]
DATAGRAMS = [
    {"port": 161, "address": "0.0.0.0", "pid": 10, "unit": "snmpd.service", "program": "snmpd"},
    {"port": 68, "address": "0.0.0.0", "pid": 11, "unit": "", "program": "dhclient"},
    {"port": 40000, "address": "0.0.0.0", "pid": 12, "unit": "", "program": "resolver"},
]


def shut(plan: Plans, state: Any = OPEN, **variables: Any) -> list[str]:
    """Warnings about listeners that are shut."""
    facts = known(published=[8080], **({"state": state} if state is not None else {})) | {"listeners": LISTENERS, "udp_listeners": DATAGRAMS}
    made = plan(service(), facts=facts, **variables)
    assert not made.errors, made.errors
    return [warning for warning in made.warnings if "blocks ports" in warning]


def test_who_is_shut_is_named(plan: Plans) -> None:
    """With the port, the program and what opens it; not SSH, ours, what is on loopback, or what answers only."""
    [warning] = shut(plan)
    named = "161/udp (snmpd, snmpd.service), 2049 (NFS), 9100 (prometheus-node, prometheus-node-exporter.service), 10250 (kubelet, kubelet.service)"
    assert f"on which other programs listen: {named}; allow" in warning
    assert "firewall_open_ports, like [{port: 161, protocol: udp, sources: [10.0.0.0/8]}]" in warning and "[blocked-ports]" in warning


OPENED = [{"port": 2049, "sources": ["10.0.0.0/8"]}, {"port": 9100, "sources": ["192.0.2.5"]}, {"port": 10250, "sources": ["any"]}]


def test_what_is_opened_is_open(plan: Plans) -> None:
    """The fix leads out."""
    opened = [*OPENED, {"port": 161, "protocol": "udp", "sources": ["10.0.0.0/8"]}]
    assert shut(plan, firewall_open_ports=opened) == []
    made = rules(plan(service(), facts=known(), firewall_open_ports=[*opened, *opened]))
    assert [rule for rule in made if rule[2] == "inferops: other"] == [
        (2049, "10.0.0.0/8", "inferops: other"), (9100, "192.0.2.5/32", "inferops: other"), (10250, "0.0.0.0/0", "inferops: other"),
        (10250, "::/0", "inferops: other"), (161, "10.0.0.0/8", "inferops: other"),
    ]


@pytest.mark.parametrize("state", [
    {"enabled": True, "policies": {"INPUT": "DROP"}}, {"enabled": True, "policies": {"INPUT": "REJECT"}}, None,
], ids=["shut before", "rejects", "not known"])
def test_what_was_shut_before_is_not_told_of(plan: Plans, state: Any) -> None:
    assert shut(plan, state) == []


def test_what_others_let_in_is_not_told_of(plan: Plans) -> None:
    rule = {"family": 4, "action": "allow_log", "port": "9100", "protocol": "tcp", "source": "10.0.0.0/8", "comment": "", "elsewhere": ""}
    [warning] = shut(plan, {**OPEN, "rules": [rule]})
    assert "9100" not in warning and "10250" in warning
    assert shut(plan, firewall_enabled=False) == []


@pytest.mark.parametrize(("value", "text"), [
    ({"port": 1}, "list"), ([{"port": 9100}], "sources"), ([{"port": 0, "sources": ["any"]}], "65535"), ([{"port": 1, "sources": ["x"]}], "not a network"),
    ([{"port": 1, "sources": ["any"], "protocl": "udp"}], "did you mean protocol"), ([{"port": 1, "sources": ["any"], "protocol": "sctp"}], "tcp or udp"),
])
def test_ports_that_cannot_be_opened(plan: Plans, value: Any, text: str) -> None:
    [error] = plan(service(), facts=known(), firewall_open_ports=value).errors
    assert error.key == "firewall_open_ports" and text in error.why + error.fix


BOTH = {"iptables": True, "ip6tables": True}
NONE = {"iptables": False, "ip6tables": False}
KERNELS = [
    ("nft without it", {"iptables": "nft", "ip6tables": "nft", "installed": True, "nft": False, "legacy": BOTH},
     "no nf_tables", "on the host: update-alternatives --set iptables /usr/sbin/iptables-legacy && "
     "update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy; or"),
    ("not installed yet", {"iptables": "nft", "ip6tables": "nft", "installed": False, "nft": False, "legacy": BOTH},
     "no nf_tables", "apt-get install iptables, then update-alternatives"),
    ("half of it", {"iptables": "legacy", "ip6tables": "nft", "installed": True, "nft": False, "legacy": BOTH},
     "which ip6tables-nft and UFW need", "/usr/sbin/ip6tables-legacy"),
    ("legacy without it", {"iptables": "legacy", "ip6tables": "legacy", "installed": True, "nft": True, "legacy": NONE},
     "no legacy iptables tables", "--set iptables /usr/sbin/iptables-nft"),
    ("nothing at all", {"iptables": "nft", "ip6tables": "nft", "installed": True, "nft": False, "legacy": NONE}, "no nf_tables", "boot another kernel"),
]


@pytest.mark.parametrize(("backend", "why", "fix"), [case[1:] for case in KERNELS], ids=[case[0] for case in KERNELS])
def test_a_kernel_that_cannot_filter(plan: Plans, backend: Any, why: str, fix: str) -> None:
    """Told before anything is changed, with the fix; UFW would only say so when it is turned on."""
    [error] = plan(service(), facts=known(backend=backend)).errors
    assert error.key == "firewall_enabled" and why in error.why and fix in error.fix
    assert not plan(service(), facts=known(backend=backend), firewall_enabled=False).errors


@pytest.mark.parametrize("backend", [
    {"iptables": "legacy", "ip6tables": "legacy", "installed": True, "nft": False, "legacy": BOTH},
    {"iptables": "nft", "ip6tables": "nft", "installed": True, "nft": True, "legacy": NONE},
    {"iptables": "nft", "ip6tables": "nft", "installed": True, "nft": None, "legacy": NONE},
    {},
], ids=["legacy", "nft", "not to be told", "not asked"])
def test_a_kernel_that_can_filter(plan: Plans, backend: Any) -> None:
    assert not plan(service(), facts=known(backend=backend)).errors


def test_a_policy_for_what_goes_out_is_told_of(plan: Plans) -> None:
    made = plan(service(), facts=known(state={"enabled": True, "policies": {"INPUT": "DROP", "OUTPUT": "DROP"}}))
    assert [warning for warning in made.warnings if "denies outgoing traffic by default" in warning and "[deny-outgoing]" in warning]


def test_a_change_that_was_taken_back_is_told_of(plan: Plans) -> None:
    made = plan(service(), facts=known(returned="2026-01-01T00:00:00Z"))
    assert "rolled back" in made.warnings[0] and "2026-01-01T00:00:00Z" in made.warnings[0]


def over_two(**keys: Any) -> list[HostInput]:
    """Two hosts with one service over both and, on the first, one of its own."""
    facts = {
        name: host_facts(gpus=gpus(8), interfaces={"eth0": [address]}, default_ipv4=address, firewall={"ssh_ports": [22]})
        for name, address in (("gpu1", "10.0.0.1"), ("gpu2", "10.0.0.2"))
    }
    big = {"name": "big", "model": "qwen3-235b-a22b", "port": 8001, "distributed": {"nodes": 2}}
    own = {"name": "own", "model": "qwen3-235b-a22b", "port": 8002, "host": "127.0.0.1", "gpus": list(range(8))}
    return [
        HostInput(name, {"model_services": [big], "ansible_host": name, "firewall_api_sources": ["10.9.0.0/16"], **keys}, facts[name]) for name in facts
    ] + [HostInput("gpu3", {"model_services": [own]}, host_facts(gpus=gpus(8), firewall={"ssh_ports": [22]}))]


def test_nodes_let_each_other_in_and_nobody_else(plan_hosts: Callable[[list[HostInput]], Plan]) -> None:
    """Everything from each other's address; the API on the head alone; no port of Ray for anybody."""
    made = plan_hosts(over_two())
    ssh = [(22, "0.0.0.0/0", "inferops: ssh"), (22, "::/0", "inferops: ssh")]
    assert rules(made, "gpu1") == [*ssh, (8001, "10.9.0.0/16", "inferops: api big"), (None, "10.0.0.2", "inferops: peer big")]
    assert rules(made, "gpu2") == [*ssh, (None, "10.0.0.1", "inferops: peer big")]
    assert rules(made, "gpu3") == ssh


def test_two_services_over_the_same_nodes_share_a_rule(plan_hosts: Callable[[list[HostInput]], Plan]) -> None:
    """UFW keeps one rule a match."""
    hosts = over_two()
    for host in hosts[:2]:
        first = host.variables["model_services"][0]
        host.variables["model_services"] = [
            {**first, "gpus": [0, 1, 2, 3]}, {**first, "name": "two", "port": 8003, "gpus": [4, 5, 6, 7], "distributed": {"nodes": 2, "port": 6600}}
        ]
    assert (None, "10.0.0.1", "inferops: peer big, two") in rules(plan_hosts(hosts), "gpu2")


def test_comments_of_a_service() -> None:
    """What another service needs as well stays, and what is for no service."""
    listed = [(["inferops: ssh"], []), (["inferops: api a"], ["a"]), (["inferops: peer b"], ["b", "c"]), (["inferops: api a"], ["a"])]
    found = host_firewall.service_comments([{"comment": comment, "services": services} for [comment], services in listed])
    assert found == {"a": ["inferops: api a"], "all": ["inferops: api a", "inferops: peer b"]}
