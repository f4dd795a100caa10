# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel settings in the plan: what the role is told, when there is nothing for it to do, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import apply, state
from ansible_collections.inferops.gpu.plugins.module_utils._kernel.wanted import Wanted
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import settings
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings import kernel
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]
DEFAULT = {
    "net.netfilter.nf_conntrack_buckets": "1048576",
    "net.netfilter.nf_conntrack_max": "1048576",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
}


def parameter(value: str | None = None, **keys: Any) -> dict[str, Any]:
    """A parameter as facts have it: there, unless it has no value."""
    return {"value": value, "exists": value is not None, "absence": "", "near": [], "rivals": [], **keys}


def kernel_facts(**parameters: Any) -> dict[str, Any]:
    """Facts of a host with everything as the defaults want it, but for these: a parameter's dictionary by its name with _ for dots."""
    sysctl = {key: parameter(value) for key, value in DEFAULT.items()}
    files = {path: text for path, text in kernel.wanted(settings_of()).files().items() if text}
    found = {"files": files, "modules": ["nf_conntrack"], "sysctl": sysctl, "transparent_hugepages": "madvise", "governors": [], "available_governors": []}
    found.update(parameters)
    return found


def settings_of(**variables: Any) -> settings.Settings:
    """Settings of a host that has these variables beside everything that the plan reads."""
    defaults = {
        "kernel_enabled": True, "kernel_conntrack_max": 1048576, "kernel_conntrack_buckets": None, "kernel_transparent_hugepages": None,
        "kernel_swappiness": None, "kernel_socket_buffer_max": None, "kernel_cpu_governor": None, "kernel_memlock_users": (), "kernel_sysctl": {},
    }
    others = dict.fromkeys(settings.NAMES)
    return settings.Settings(**{**others, **defaults, **variables})  # type: ignore[arg-type]


def with_parameter(key: str, **row: Any) -> dict[str, Any]:
    """Facts of such a host with one more parameter."""
    facts = kernel_facts()
    facts["sysctl"][key] = parameter(**row)
    return host_facts(kernel=facts)


def planned(made: Plan) -> dict[str, Any]:
    """What the role of gpu1 is told."""
    assert made.errors == []
    return made.hosts["gpu1"]["kernel"]


def test_the_whole_document(plan: Plans) -> None:
    """Everything that the role reads, without facts as on a bare host."""
    assert planned(plan(service())) == {
        "enabled": True,
        "needed": True,
        "sysctl": DEFAULT,
        "modules": ["nf_conntrack"],
        "module_options": {"nf_conntrack": "hashsize=1048576"},
        "transparent_hugepages": "",
        "cpu_governor": "",
        "memlock_users": [],
    }


def test_everything_that_may_be_set(plan: Plans) -> None:
    """The user's own parameters come last, and null takes one away."""
    told = planned(plan(
        service(), kernel_conntrack_max="2097152", kernel_conntrack_buckets=524288, kernel_swappiness=10, kernel_socket_buffer_max=67108864,
        kernel_transparent_hugepages="never", kernel_cpu_governor="performance", kernel_memlock_users=["alice", "@nccl", "alice"],
        kernel_sysctl={"net/core/wmem_max": 1, "net.core.somaxconn": None, "kernel.numa_balancing": 0, "net.ipv4.tcp_congestion_control": "bbr"},
    ))
    assert told["sysctl"] == {
        "net.netfilter.nf_conntrack_buckets": "524288",
        "net.netfilter.nf_conntrack_max": "2097152",
        "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
        "net.ipv4.tcp_max_syn_backlog": "65535",
        "net.core.rmem_max": "67108864",
        "net.core.wmem_max": "1",
        "net.ipv4.tcp_rmem": "4096 131072 67108864",
        "net.ipv4.tcp_wmem": "4096 16384 67108864",
        "vm.swappiness": "10",
        "kernel.numa_balancing": "0",
        "net.ipv4.tcp_congestion_control": "bbr",
    }
    assert told["module_options"] == {"nf_conntrack": "hashsize=524288"}
    assert (told["transparent_hugepages"], told["cpu_governor"], told["memlock_users"]) == ("never", "performance", ["alice", "@nccl"])


def test_buckets_by_their_own_name(plan: Plans) -> None:
    """The module begins with them too, unless they are no number."""
    name = "net.netfilter.nf_conntrack_buckets"
    assert planned(plan(service(), kernel_sysctl={name: 4096, "net.netfilter.nf_conntrack_max": 4096}))["module_options"] == {"nf_conntrack": "hashsize=4096"}
    assert planned(plan(service(), kernel_sysctl={name: "1 x=2"}))["module_options"] == {}
    assert planned(plan(service(), kernel_sysctl={name: None}))["module_options"] == {}


def test_a_system_that_is_left_alone(plan: Plans) -> None:
    told = planned(plan(service(), facts=with_parameter("no.such"), kernel_enabled="false", kernel_sysctl={"no.such": 1}))
    assert told == {"enabled": False, "needed": False}


def test_nothing_to_do(plan: Plans) -> None:
    assert planned(plan(service(), facts=host_facts(kernel=kernel_facts())))["needed"] is False


SOMETHING_TO_DO: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("facts without the kernel", host_facts(), {}),
    ("a file less", host_facts(kernel=kernel_facts(files={})), {}),
    ("the module is not loaded", host_facts(kernel=kernel_facts(modules=[])), {}),
    ("another value", with_parameter("net.core.somaxconn", value="4096"), {}),
    ("a parameter that is not there", with_parameter("net.core.somaxconn"), {}),
    ("a file that wins", with_parameter("net.core.somaxconn", value="65535", rivals=[{"file": "/x", "value": "128"}]), {}),
    ("a file that takes it out", with_parameter("net.core.somaxconn", value="65535", rivals=[{"file": "/x", "value": None}]), {}),
    ("another maximum", host_facts(kernel=kernel_facts()), {"kernel_conntrack_max": 65536}),
    ("huge pages", host_facts(kernel=kernel_facts()), {"kernel_transparent_hugepages": "never"}),
    ("a governor", host_facts(kernel=kernel_facts()), {"kernel_cpu_governor": "performance"}),
    ("somebody who may pin memory", host_facts(kernel=kernel_facts()), {"kernel_memlock_users": ["alice"]}),
    ("a parameter more", host_facts(kernel=kernel_facts()), {"kernel_sysctl": {"vm.swappiness": 1}}),
]


@pytest.mark.parametrize(("facts", "more"), [case[1:] for case in SOMETHING_TO_DO], ids=[case[0] for case in SOMETHING_TO_DO])
def test_something_to_do(plan: Plans, facts: dict[str, Any], more: dict[str, Any]) -> None:
    assert planned(plan(service(), facts=facts, **more))["needed"] is True


def test_a_file_that_says_the_same_is_no_rival(plan: Plans) -> None:
    facts = with_parameter("net.core.somaxconn", value="65535", rivals=[{"file": "/x", "value": "65535"}])
    assert planned(plan(service(), facts=facts))["needed"] is False


@pytest.mark.parametrize(("found", "needed"), [(["performance"], False), (["performance", "powersave"], True), ([], True)])
def test_all_cpus_have_the_governor(found: list[str], needed: bool) -> None:
    whole = Wanted(cpu_governor="performance")
    files = {path: text for path, text in whole.files().items() if text}
    facts = kernel.read_facts({"files": files, "governors": found})
    assert facts is not None
    assert kernel.is_so(whole, facts) is not needed


def test_what_was_applied_is_so(tmp_path: Any) -> None:
    """The facts of a host on which the module has run leave nothing to do: the two sides agree on every file and value."""
    for key in DEFAULT:
        file = tmp_path / "proc/sys" / key.replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1\n", encoding="utf-8")
    (tmp_path / "sys/module/nf_conntrack").mkdir(parents=True)
    whole = kernel.wanted(settings_of(kernel_memlock_users=("alice",)))
    before = kernel.read_facts(state.read([], str(tmp_path)))
    apply.apply(whole, str(tmp_path))
    after = kernel.read_facts(state.read([], str(tmp_path)))
    assert before is not None and after is not None
    assert (kernel.is_so(whole, before), kernel.is_so(whole, after)) == (False, True)


WRONG: list[tuple[str, Any, str]] = [
    ("kernel_enabled", "perhaps", "kernel_enabled"),
    ("kernel_conntrack_max", 1023, "kernel_conntrack_max"),
    ("kernel_conntrack_max", 2**27 + 1, "kernel_conntrack_max"),
    ("kernel_conntrack_max", None, "kernel_conntrack_max"),
    ("kernel_conntrack_buckets", 0, "kernel_conntrack_buckets"),
    ("kernel_transparent_hugepages", "sometimes", "kernel_transparent_hugepages"),
    ("kernel_transparent_hugepages", True, "kernel_transparent_hugepages"),
    ("kernel_swappiness", 201, "kernel_swappiness"),
    ("kernel_socket_buffer_max", 65536, "kernel_socket_buffer_max"),
    ("kernel_socket_buffer_max", "64M", "kernel_socket_buffer_max"),
    ("kernel_cpu_governor", "Performance mode", "kernel_cpu_governor"),
    ("kernel_memlock_users", "alice", "kernel_memlock_users"),
    ("kernel_memlock_users", ["*"], "kernel_memlock_users"),
    ("kernel_memlock_users", ["alice - nofile 1\nbob"], "kernel_memlock_users"),
    ("kernel_sysctl", ["net.core.somaxconn=1"], "kernel_sysctl"),
    ("kernel_sysctl", {"net.core.somaxconn": True}, "kernel_sysctl.net.core.somaxconn"),
    ("kernel_sysctl", {"net.core.somaxconn": [1]}, "kernel_sysctl.net.core.somaxconn"),
    ("kernel_sysctl", {"net.core.somaxconn": ""}, "kernel_sysctl.net.core.somaxconn"),
    ("kernel_sysctl", {"net.core.somaxconn": "1\nkernel.panic = 1"}, "kernel_sysctl.net.core.somaxconn"),
    ("kernel_sysctl", {"net.ipv4.conf.*.rp_filter": 1}, "kernel_sysctl.net.ipv4.conf.*.rp_filter"),
    ("kernel_sysctl", {"somaxconn": 1}, "kernel_sysctl.somaxconn"),
    ("kernel_sysctl", {"../etc/passwd": 1}, "kernel_sysctl.../etc/passwd"),
    ("kernel_sysctl", {"net.core.somaxconn": 1, "net/core/somaxconn": 2}, "kernel_sysctl.net/core/somaxconn"),
]


@pytest.mark.parametrize(("name", "value", "key"), WRONG)
def test_wrong_values(plan: Plans, name: str, value: Any, key: str) -> None:
    """One error that names the place."""
    assert keys_of(plan(service(), **{name: value}).errors) == [("", key)]


UNSET = [("kernel_conntrack_buckets", ""), ("kernel_transparent_hugepages", ""), ("kernel_swappiness", ""), ("kernel_cpu_governor", None)]


@pytest.mark.parametrize(("name", "value"), UNSET)
def test_unset(plan: Plans, name: str, value: Any) -> None:
    """Null and empty text are as good as nothing."""
    assert planned(plan(service(), **{name: value}))["sysctl"] == DEFAULT


def test_a_parameter_that_does_not_exist(plan: Plans) -> None:
    """The name that it must mean comes from the host."""
    facts = with_parameter("vm.swapiness", near=["vm.swappiness"])
    [error] = plan(service(), facts=facts, kernel_sysctl={"vm.swapiness": 10}).errors
    assert (error.host, error.key, error.value, error.fix) == ("gpu1", "kernel_sysctl.vm.swapiness", "10", "did you mean vm.swappiness?")
    assert plan(service(), facts=facts, kernel_sysctl={"vm.swapiness": None}).errors == []


def test_a_parameter_that_may_exist_elsewhere(plan: Plans) -> None:
    """It is the role's to say that it can't be set, and to keep it."""
    facts = with_parameter("net.bridge.bridge-nf-call-iptables", absence="no bridge")
    told = planned(plan(service(), facts=facts, kernel_sysctl={"net.bridge.bridge-nf-call-iptables": 0}))
    assert told["needed"] is True and told["sysctl"]["net.bridge.bridge-nf-call-iptables"] == "0"


@pytest.mark.parametrize(("offered", "errors"), [([], 0), (["performance", "powersave"], 0), (["powersave", "schedutil"], 1)])
def test_a_governor_that_the_host_lacks(plan: Plans, offered: list[str], errors: int) -> None:
    facts = host_facts(kernel=kernel_facts(available_governors=offered))
    assert [error.key for error in plan(service(), facts=facts, kernel_cpu_governor="performance").errors] == ["kernel_cpu_governor"] * errors


@pytest.mark.parametrize(("buckets", "warned"), [(131072, False), (131071, True)])
def test_long_chains(plan: Plans, buckets: int, warned: bool) -> None:
    assert any("chains" in warning for warning in plan(service(), kernel_conntrack_buckets=buckets).warnings) is warned


@pytest.mark.parametrize("raw", [None, 5, [], {"sysctl": [1], "files": 3, "modules": "x"}, {"sysctl": {"a.b": 1, "net.core.somaxconn": {"rivals": 7}}}])
def test_broken_facts(plan: Plans, raw: Any) -> None:
    """Facts that make no sense are as good as none."""
    assert planned(plan(service(), facts=host_facts(kernel=raw)))["needed"] is True
