# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel settings in the plan: what the role reads, when there is nothing for it to do, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import apply, files, state
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.host import kernel
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import settings
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings.kernel import read_facts
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]
ROLE = Path(__file__).resolve().parents[6] / "roles" / "kernel"
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
    return {"value": value, "exists": value is not None, "absence": "", "near": [], "conflicts": [], **keys}


def kernel_facts(**parameters: Any) -> dict[str, Any]:
    """Facts of a host with everything as the defaults want it, but for these: a parameter's dictionary by its name with _ for dots."""
    sysctl = {key: parameter(value) for key, value in DEFAULT.items()}
    lines = {item["path"]: item["lines"] for item in kernel.files_of(settings_of()) if item["lines"]}
    found = {
        "files": lines, "unmanaged_files": [], "missing_folders": [], "modules": ["nf_conntrack"], "sysctl": sysctl,
        "transparent_hugepages": "madvise", "governors": [], "available_governors": [],
    }
    found.update(parameters)
    return found


def settings_of(**variables: Any) -> settings.Settings:
    """Settings of a host that has these variables beside everything that the plan reads."""
    defaults = {
        "kernel_enabled": True, "kernel_conntrack_max": 1048576, "kernel_conntrack_buckets": None, "kernel_transparent_hugepages": None,
        "kernel_swappiness": None, "kernel_socket_buffer_max": None, "kernel_cpu_governor": None, "kernel_memlock_users": (), "kernel_sysctl": {},
        "kernel_sysctl_defaults": {key: value for key, value in DEFAULT.items() if "nf_conntrack_max" not in key and "buckets" not in key},
    }
    others = dict.fromkeys(settings.NAMES)
    return settings.Settings(**{**others, **defaults, **variables})  # type: ignore[arg-type]


def with_parameter(key: str, **row: Any) -> dict[str, Any]:
    """Facts of such a host with one more parameter."""
    facts = kernel_facts()
    facts["sysctl"][key] = parameter(**row)
    return host_facts(kernel=facts)


def lines_of(told: dict[str, Any]) -> dict[str, list[str]]:
    """The lines of the files that the role writes, by path."""
    return {item["path"]: item["lines"] for item in told["files"]}


def planned(made: Plan) -> dict[str, Any]:
    """What the role of gpu1 reads."""
    assert made.errors == []
    return made.hosts["gpu1"]["kernel"]


def test_the_whole_document(plan: Plans) -> None:
    """Everything that the role reads, without facts as on a bare host."""
    assert planned(plan(service())) == {
        "enabled": True,
        "needed": True,
        "sysctl": DEFAULT,
        "modules": ["nf_conntrack"],
        "transparent_hugepages": "",
        "cpu_governor": "",
        "folders": [],
        "files": [
            {"path": files.MODULES_FILE, "purpose": "Loaded at boot, before parameters are set.", "lines": ["nf_conntrack"]},
            {"path": files.OPTIONS_FILE, "purpose": "Used when the module is loaded.", "lines": ["options nf_conntrack hashsize=1048576"]},
            {
                "path": files.SYSCTL_FILE, "purpose": "Set at boot by systemd-sysctl, after systemd-modules-load.",
                "lines": [f"{key} = {value}" for key, value in DEFAULT.items()],
            },
        ],
        "obsolete": [],
    }


def test_the_values_are_in_the_roles_defaults() -> None:
    """Where a reader looks for them."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    assert {key: str(value) for key, value in defaults["kernel_sysctl_defaults"].items()} == {
        key: value for key, value in DEFAULT.items() if key not in ("net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max")
    }


def test_values_of_the_user_go_over_the_defaults(plan: Plans) -> None:
    """Those of a variable of their own as well; null takes one away."""
    told = planned(plan(service(), kernel_sysctl_defaults={"net.core.somaxconn": 1, "vm.swappiness": 2}, kernel_sysctl={"vm.swappiness": 3}))
    assert told["sysctl"] == {
        "net.netfilter.nf_conntrack_buckets": "1048576", "net.netfilter.nf_conntrack_max": "1048576", "net.core.somaxconn": "1", "vm.swappiness": "3",
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
    lines = lines_of(told)
    assert lines[files.OPTIONS_FILE] == ["options nf_conntrack hashsize=524288"]
    assert lines[files.LIMITS_FILE] == ["alice - memlock unlimited", "@nccl - memlock unlimited"]
    assert lines[files.TMPFILES_FILE] == [
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - never",
        "w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance",
    ]
    assert (told["transparent_hugepages"], told["cpu_governor"]) == ("never", "performance")


def test_buckets_by_their_own_name(plan: Plans) -> None:
    """The module begins with them too, unless they are no number."""
    name = "net.netfilter.nf_conntrack_buckets"

    def options(value: Any, **more: Any) -> list[str] | None:
        return lines_of(planned(plan(service(), kernel_sysctl={name: value, **more}))).get(files.OPTIONS_FILE)

    assert options(4096, **{"net.netfilter.nf_conntrack_max": 4096}) == ["options nf_conntrack hashsize=4096"]
    assert options("1 x=2") is None
    assert options(None) is None


def test_a_system_that_is_left_alone(plan: Plans) -> None:
    told = planned(plan(service(), facts=with_parameter("no.such"), kernel_enabled="false", kernel_sysctl={"no.such": 1}))
    assert told == {"enabled": False, "needed": False, "folders": [], "files": [], "obsolete": []}


def has_work(told: dict[str, Any]) -> bool:
    """Whether the role makes any call to the host."""
    return bool(told["needed"] or told["files"] or told["obsolete"])


@pytest.mark.parametrize("enabled", [True, False])
def test_the_package_that_counts_losses(plan: Plans, enabled: bool) -> None:
    assert ("conntrack" in plan(service(), kernel_enabled=enabled).hosts["gpu1"]["packages"]) is enabled


def test_nothing_to_do(plan: Plans) -> None:
    assert not has_work(planned(plan(service(), facts=host_facts(kernel=kernel_facts()))))


SOMETHING_TO_DO: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("facts without the kernel", host_facts(), {}),
    ("a file less", host_facts(kernel=kernel_facts(files={})), {}),
    ("the module is not loaded", host_facts(kernel=kernel_facts(modules=[])), {}),
    ("another value", with_parameter("net.core.somaxconn", value="4096"), {}),
    ("a parameter that is not there", with_parameter("net.core.somaxconn"), {}),
    ("a file that wins", with_parameter("net.core.somaxconn", value="65535", conflicts=["128"]), {}),
    ("a file that takes it out", with_parameter("net.core.somaxconn", value="65535", conflicts=[None]), {}),
    ("another maximum", host_facts(kernel=kernel_facts()), {"kernel_conntrack_max": 65536}),
    ("huge pages", host_facts(kernel=kernel_facts()), {"kernel_transparent_hugepages": "never"}),
    ("a governor", host_facts(kernel=kernel_facts()), {"kernel_cpu_governor": "performance"}),
    ("somebody who may pin memory", host_facts(kernel=kernel_facts()), {"kernel_memlock_users": ["alice"]}),
    ("a parameter more", host_facts(kernel=kernel_facts()), {"kernel_sysctl": {"vm.swappiness": 1}}),
]


@pytest.mark.parametrize(("facts", "more"), [case[1:] for case in SOMETHING_TO_DO], ids=[case[0] for case in SOMETHING_TO_DO])
def test_something_to_do(plan: Plans, facts: dict[str, Any], more: dict[str, Any]) -> None:
    assert has_work(planned(plan(service(), facts=facts, **more)))


def test_only_what_differs_is_written(plan: Plans) -> None:
    """A second run in a container, where a value can never be set, writes no file again."""
    facts = with_parameter("net.core.somaxconn", value="4096")
    told = planned(plan(service(), facts=facts))
    assert (told["needed"], told["files"], told["obsolete"]) == (True, [], [])


def test_what_is_no_longer_wanted_goes(plan: Plans) -> None:
    """A parameter from its file, and a file that would hold nothing."""
    lines = {**kernel_facts()["files"], files.LIMITS_FILE: ["alice - memlock unlimited"]}
    lines[files.SYSCTL_FILE] = [*lines[files.SYSCTL_FILE], "vm.swappiness = 10"]
    told = planned(plan(service(), facts=host_facts(kernel=kernel_facts(files=lines))))
    assert (told["needed"], told["obsolete"]) == (False, [files.LIMITS_FILE])
    assert lines_of(told) == {files.SYSCTL_FILE: kernel_facts()["files"][files.SYSCTL_FILE]}


def test_folders_that_the_host_lacks(plan: Plans) -> None:
    """Those of files that are to be written."""
    folders = ["/etc/modprobe.d", "/etc/tmpfiles.d"]
    assert planned(plan(service(), facts=host_facts(kernel=kernel_facts(files={}, missing_folders=folders))))["folders"] == ["/etc/modprobe.d"]


def test_a_file_that_says_the_same_is_no_conflict(plan: Plans) -> None:
    facts = with_parameter("net.core.somaxconn", value="65535", conflicts=["65535"])
    assert planned(plan(service(), facts=facts))["needed"] is False


@pytest.mark.parametrize(("found", "needed"), [(["performance"], False), (["performance", "powersave"], True), ([], True)])
def test_all_cpus_have_the_governor(found: list[str], needed: bool) -> None:
    facts = read_facts(kernel_facts(governors=found))
    assert facts is not None
    assert kernel.is_in_force(settings_of(kernel_cpu_governor="performance"), facts) is not needed


def rendered(item: dict[str, Any], refused: list[str]) -> str:
    """A configuration file as the role's template writes it, with the settings of Ansible's own template module."""
    template = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True).from_string((ROLE / "templates/settings.conf.j2").read_text(encoding="utf-8"))
    return template.render(__kernel_file=item, __kernel_set={"refused": refused})


def test_what_was_applied_is_so(tmp_path: Path) -> None:
    """The facts of a host on which the role has run leave nothing to do: module, template and plan agree on every file and value."""
    for key in DEFAULT:
        file = tmp_path / "proc/sys" / key.replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1\n", encoding="utf-8")
    (tmp_path / "sys/module/nf_conntrack").mkdir(parents=True)
    settings_there = settings_of(kernel_memlock_users=("alice",))
    told = kernel.kernel_of(settings_there, read_facts(state.read([], str(tmp_path))))
    assert told["needed"] and len(told["files"]) == 4
    assert told["folders"] == ["/etc/modules-load.d", "/etc/modprobe.d", "/etc/sysctl.d", "/etc/security/limits.d"]
    made = apply.apply(told["sysctl"], told["modules"], root=str(tmp_path))
    for item in told["files"]:
        path = tmp_path / item["path"].lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_text(rendered(item, made.refused), encoding="utf-8")
    told = kernel.kernel_of(settings_there, read_facts(state.read([], str(tmp_path))))
    assert not has_work(told) and told["folders"] == []


def test_text_of_a_file() -> None:
    """Byte for byte what earlier versions wrote, so that hosts of theirs change nothing. What the kernel refused is left out."""
    item = {"path": files.SYSCTL_FILE, "purpose": "Set at boot.", "lines": ["net.core.somaxconn = 65535", "vm.swappiness = 500"]}
    assert rendered(item, ["vm.swappiness"]) == f"{files.MARK}\n# Set at boot.\nnet.core.somaxconn = 65535\n"
    assert rendered(item, []).endswith("\nnet.core.somaxconn = 65535\nvm.swappiness = 500\n")


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
    ("kernel_sysctl_defaults", {"net.core.somaxconn": True}, "kernel_sysctl_defaults.net.core.somaxconn"),
    ("kernel_sysctl_defaults", 5, "kernel_sysctl_defaults"),
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
    [error] = plan(service(), facts=facts, kernel_sysctl_defaults={"vm.swapiness": 10}).errors
    assert error.key == "kernel_sysctl_defaults.vm.swapiness"


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


@pytest.mark.parametrize("raw", [None, 5, [], {"sysctl": [1], "files": 3, "modules": "x"}, {"sysctl": {"a.b": 1, "net.core.somaxconn": {"conflicts": 7}}}])
def test_broken_facts(plan: Plans, raw: Any) -> None:
    """Facts that make no sense are as good as none."""
    assert planned(plan(service(), facts=host_facts(kernel=raw)))["needed"] is True
