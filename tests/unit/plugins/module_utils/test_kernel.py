# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel parameters: their names, which file has the last word on them, what is set and what is reported of the rest."""

from __future__ import annotations

import errno
import os
import stat

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import apply as applying, conflicts, conntrack, files, keys, state
from ansible_collections.inferops.gpu.plugins.modules import kernel_settings
from kernel_tree import BACKLOG, BUCKETS, MAX, Tree

SYSCTL = {BUCKETS: "1048576", MAX: "1048576", BACKLOG: "65535"}
MODULES = ("nf_conntrack",)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Ends of paths with the error that writing there gives. A test runs as root, whom no file's mode keeps out."""
    refused: dict[str, int] = {}
    plain = applying._write

    def write(path: str, value: str) -> int:
        number = next((number for end, number in refused.items() if path.endswith(end)), None)
        return plain(path, value) if number is None else number

    monkeypatch.setattr(applying, "_write", write)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and not any(str(path).endswith(end) for end in refused))
    return refused


def nothing_to_load(module: str) -> str:
    raise AssertionError(f"{module} is loaded already")


# Names


NAMES = [
    ("net.core.somaxconn", "net/core/somaxconn"),
    ("net/core/somaxconn", "net/core/somaxconn"),
    ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
    ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
]


@pytest.mark.parametrize(("name", "path"), NAMES)
def test_both_spellings_lead_to_one_file(name: str, path: str) -> None:
    """The separator that comes first separates, as in sysctl.d."""
    assert keys.path_of(name) == path
    assert keys.path_of(keys.canonical(name)) == path


def test_an_alias_is_the_same_parameter() -> None:
    assert keys.canonical("net/nf_conntrack_max") == MAX


@pytest.mark.parametrize("name", ["", "vm", "net..core", "../etc/passwd", "net/../../etc/passwd", "net.core. x", "net.core.a\nb", ".net.core", "net.core."])
def test_what_is_no_name(name: str) -> None:
    """Nothing that would lead out of /proc/sys, or be two lines in a file."""
    assert not keys.is_name(name)


def test_buckets_are_rounded_to_pages() -> None:
    assert keys.same(BUCKETS, "1000", "1024")
    assert not keys.same(BUCKETS, "1000", "512")
    assert not keys.same(BUCKETS, "1000", "262144")
    assert not keys.same(MAX, "1000", "1024")


def test_numbers_in_a_row(tree: Tree) -> None:
    """The kernel answers with tabs between them."""
    found = keys.read_value(tree.root, "net.ipv4.tcp_rmem")
    assert keys.same("net.ipv4.tcp_rmem", "4096 131072  6291456", found)


MISTAKES = ["vm.swapiness", "net.core.somaxcon", "net.core.brand_new", "net.ipv4.conf.all.rp_filtr", "net.netfilter.nf_conntrack_maxx", "nett.core.somaxconn"]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_name_that_can_only_be_a_mistake(tree: Tree, name: str) -> None:
    assert keys.absence(tree.root, name) == ""


def test_near_names_are_those_of_the_host(tree: Tree) -> None:
    assert keys.near(tree.root, "vm.swapiness") == ["vm.swappiness"]
    assert keys.near(tree.root, "net.ipv4.conf.eth7.rp_filtr")[0] == "net.ipv4.conf.default.rp_filter"


RIGHT_ALL_THE_SAME = [
    ("net.bridge.bridge-nf-call-iptables", "net.bridge"),
    ("net.ipv4.conf.eth7.rp_filter", "interface"),
    ("sunrpc.tcp_slot_table_entries", "sunrpc"),
]


@pytest.mark.parametrize(("name", "why"), RIGHT_ALL_THE_SAME)
def test_a_missing_name_that_may_be_right(tree: Tree, name: str, why: str) -> None:
    assert why in keys.absence(tree.root, name)


def test_names_of_a_module_that_is_not_loaded(tree: Tree) -> None:
    tree.without_conntrack()
    assert "nf_conntrack is not loaded" in keys.absence(tree.root, "net.netfilter.nf_conntrack_tcp_loose")


def test_names_that_a_container_hides(tree: Tree) -> None:
    """tcp_mem is not tcp_rmem spelt wrongly; somaxcon is somaxconn."""
    assert keys.absence(tree.root, "net.ipv4.tcp_mem") == ""
    tree.in_a_container()
    assert "namespace" in keys.absence(tree.root, "net.ipv4.tcp_mem")
    assert "namespace" in keys.absence(tree.root, "net.core.brand_new")
    assert keys.absence(tree.root, "net.core.somaxcon") == ""
    assert keys.absence(tree.root, "vm.swapiness") == ""


# Who has the last word


LINE = "net.core.somaxconn = 128\n"
WINS: list[tuple[str, dict[str, str]]] = [
    ("a later name in /etc", {"/etc/sysctl.d/99-x.conf": LINE}),
    ("a later name in a lower directory", {"/usr/lib/sysctl.d/91-x.conf": LINE}),
    ("a later name in /run", {"/run/sysctl.d/95.conf": LINE}),
    ("the other spelling", {"/etc/sysctl.d/99-x.conf": "net/core/somaxconn=128"}),
    ("a dash, which only hides failures", {"/etc/sysctl.d/99-x.conf": "-net.core.somaxconn=128"}),
    ("the last of two files", {"/etc/sysctl.d/98.conf": "net.core.somaxconn = 65535", "/etc/sysctl.d/99.conf": LINE}),
    ("a letter after every digit", {"/etc/sysctl.d/inferops.conf": LINE}),
]
LOSES: list[tuple[str, dict[str, str]]] = [
    ("an earlier name", {"/etc/sysctl.d/10-x.conf": LINE}),
    ("an earlier name by bytes", {"/etc/sysctl.d/90-Z.conf": LINE}),
    ("the same value", {"/etc/sysctl.d/99-x.conf": "net.core.somaxconn   =   65535"}),
    ("a pattern: a name goes before it", {"/etc/sysctl.d/99-x.conf": "net.core.* = 128"}),
    ("a comment", {"/etc/sysctl.d/99-x.conf": f"#{LINE};{LINE}"}),
    ("another ending", {"/etc/sysctl.d/99-x.conf.dpkg-old": LINE}),
    ("a file that one of the same name masks", {"/etc/sysctl.d/99-x.conf": "", "/usr/lib/sysctl.d/99-x.conf": LINE}),
    ("our own name further down", {"/usr/lib/sysctl.d/90-inferops.conf": LINE}),
    ("the last of two files", {"/etc/sysctl.d/98.conf": LINE, "/etc/sysctl.d/99.conf": "net.core.somaxconn = 65535"}),
    ("/etc/sysctl.conf that no link leads to", {"/etc/sysctl.conf": LINE}),
]


@pytest.mark.parametrize("files", [case[1] for case in WINS], ids=[case[0] for case in WINS])
def test_files_that_win(tree: Tree, files: dict[str, str]) -> None:
    for path, text in files.items():
        tree.write(path, text)
    assert [(conflict.key, conflict.file, conflict.value) for conflict in conflicts.of(tree.root, SYSCTL)] == [(BACKLOG, list(files)[-1], "128")]


@pytest.mark.parametrize("files", [case[1] for case in LOSES], ids=[case[0] for case in LOSES])
def test_files_that_lose(tree: Tree, files: dict[str, str]) -> None:
    for path, text in files.items():
        tree.write(path, text)
    assert conflicts.of(tree.root, SYSCTL) == []


def test_sysctl_conf_where_a_link_leads_to_it(tree: Tree) -> None:
    """As on Debian 12 and Ubuntu; it is named as the user knows it."""
    tree.write("/etc/sysctl.conf", LINE)
    (tree.path / "etc/sysctl.d").mkdir()
    (tree.path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    [conflict] = conflicts.of(tree.root, SYSCTL)
    assert (conflict.file, conflict.value, conflict.why) == ("/etc/sysctl.conf", "128", conflicts.AT_BOOT)


def test_a_file_that_is_masked_by_a_link_to_nothing(tree: Tree) -> None:
    tree.write("/usr/lib/sysctl.d/99-x.conf", LINE)
    (tree.path / "etc/sysctl.d").mkdir(parents=True)
    (tree.path / "etc/sysctl.d/99-x.conf").symlink_to("/dev/null")
    assert conflicts.of(tree.root, SYSCTL) == []


def test_a_parameter_that_is_taken_out(tree: Tree) -> None:
    tree.write("/etc/sysctl.d/99-x.conf", "-net.core.somaxconn\n")
    [conflict] = conflicts.of(tree.root, SYSCTL)
    assert (conflict.value, conflict.why) == (None, conflicts.TAKEN_OUT)


def test_the_alias_wins_as_well(tree: Tree) -> None:
    tree.write("/etc/sysctl.d/99-x.conf", "net.nf_conntrack_max = 5\n")
    assert [conflict.key for conflict in conflicts.of(tree.root, SYSCTL)] == [MAX]


UFW = [("net/core/somaxconn=128", "128"), ("net/core/*=128", "128"), ("net/core/somaxconn=65535", None), ("#net/core/somaxconn=128", None)]


@pytest.mark.parametrize(("line", "value"), UFW)
def test_ufw_has_a_file_of_its_own(tree: Tree, line: str, value: str | None) -> None:
    """It goes by the command sysctl, which takes a pattern for all that fit it."""
    tree.write("/etc/ufw/sysctl.conf", line)
    assert conflicts.of(tree.root, SYSCTL) == []
    tree.write("/etc/default/ufw", "IPV6=yes\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n")
    found = conflicts.of(tree.root, SYSCTL)
    assert [(conflict.file, conflict.value, conflict.why) for conflict in found] == ([("/etc/ufw/sysctl.conf", value, conflicts.BY_UFW)] if value else [])


# Setting them


def test_a_whole_host(tree: Tree) -> None:
    """Values in force, and nothing left to report; the second time nothing changes. Configuration files are not the module's to write."""
    made = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load)
    assert (made.not_set, made.conflicts, made.refused) == ([], [], [])
    assert {key: keys.read_value(tree.root, key) for key in SYSCTL} == SYSCTL
    assert tree.files() == {}
    again = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load)
    assert (again.after, again.not_set) == ({}, [])


def test_check_mode_says_what_would_be(tree: Tree) -> None:
    """The same as what is done then, and nothing is touched."""
    said = applying.apply(SYSCTL, MODULES, root=tree.root, check_mode=True, modprobe=nothing_to_load)
    assert keys.read_value(tree.root, MAX) == "262144"
    done = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load)
    assert (said.before, said.after, said.not_set) == (done.before, done.after, done.not_set)
    assert applying.apply(SYSCTL, MODULES, root=tree.root, check_mode=True, modprobe=nothing_to_load).after == {}


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_cannot_be_set_is_named_and_kept(tree: Tree, refuse: dict[str, int], check_mode: bool) -> None:
    tree.in_a_container()
    refuse["nf_conntrack_max"] = errno.EACCES
    made = applying.apply(SYSCTL, MODULES, root=tree.root, check_mode=check_mode, modprobe=nothing_to_load)
    [item] = made.not_set
    assert (item["key"], item["wanted"], item["in_force"], item["kept"]) == (MAX, "1048576", "262144", True)
    assert "initial network namespace" in item["why"]
    assert MAX not in made.after and BACKLOG in made.after
    assert made.refused == []
    if not check_mode:
        again = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load)
        assert (again.after, again.not_set) == ({}, [item])


def test_a_read_only_mount_is_named_as_that(tree: Tree, refuse: dict[str, int]) -> None:
    refuse["nf_conntrack_max"] = errno.EROFS
    assert [item["why"] for item in applying.apply(SYSCTL, root=tree.root).not_set] == ["/proc/sys is mounted read-only here"]


def test_a_value_that_the_kernel_refuses_is_not_kept(tree: Tree, refuse: dict[str, int]) -> None:
    """It would make systemd-sysctl fail at each boot."""
    refuse["somaxconn"] = errno.EINVAL
    made = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load)
    assert [(item["key"], item["kept"]) for item in made.not_set] == [(BACKLOG, False)]
    assert "Invalid argument" in made.not_set[0]["why"]
    assert made.refused == [BACKLOG]
    assert applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=nothing_to_load).after == {}


def test_a_value_that_the_kernel_makes_another_of(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what is read afterwards; it is no change the second time."""
    monkeypatch.setattr(applying, "_write", lambda path, value: (Path(path).write_text("60000") and 0) if path.endswith("somaxconn") else 0)
    wanted = {BACKLOG: "65535"}
    first = applying.apply(wanted, root=tree.root)
    assert first.after[BACKLOG] == "60000"
    assert "uses another one" in first.not_set[0]["why"]
    second = applying.apply(wanted, root=tree.root)
    assert second.after == {} and len(second.not_set) == 1


def test_a_module_is_loaded_first(tree: Tree) -> None:
    """Its parameters come with it; in check mode they are said to."""
    tree.without_conntrack()
    said = applying.apply(SYSCTL, MODULES, root=tree.root, check_mode=True, modprobe=lambda module: "")
    assert said.after[MAX] == "1048576" and said.not_set == []
    assert keys.read_value(tree.root, MAX) is None
    asked: list[str] = []

    def modprobe(module: str) -> str:
        asked.append(module)
        Tree(tree.path)
        return ""

    done = applying.apply(SYSCTL, MODULES, root=tree.root, modprobe=modprobe)
    assert done.not_set == [] and done.after["module nf_conntrack"] == "loaded"
    assert asked == ["nf_conntrack"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_module_that_is_not_available(tree: Tree, check_mode: bool) -> None:
    """Why it can't be loaded is why its parameters are not set."""
    tree.without_conntrack()
    made = applying.apply(SYSCTL, MODULES, root=tree.root, check_mode=check_mode, modprobe=lambda _module: "FATAL: not found")
    assert [(item["key"], "FATAL: not found" in item["why"]) for item in made.not_set] == [(BUCKETS, True), (MAX, True)]
    assert BACKLOG in made.after


@pytest.mark.parametrize(("check_mode", "status", "said", "expected"), [
    (True, 0, "", ""), (False, 0, "", ""),
    (False, 1, "modprobe: FATAL: not found\n", "modprobe: FATAL: not found"), (False, 1, "", "modprobe ended with status 1"),
])
def test_modprobe(check_mode: bool, status: int, said: str, expected: str) -> None:
    """In check mode it only sees whether the module could be loaded."""
    ran: list[list[str]] = []

    class Module:
        def __init__(self) -> None:
            self.check_mode = check_mode

        def get_bin_path(self, name: str, opt_dirs: list[str]) -> str:
            return f"/sbin/{name}"

        def run_command(self, argv: list[str]) -> tuple[int, str, str]:
            ran.append(argv)
            return status, "", said

    assert kernel_settings.modprobe(Module(), "nf_conntrack") == expected
    assert ran == [["timeout", "60", "/sbin/modprobe", *(["--dry-run"] if check_mode else []), "nf_conntrack"]]


def test_an_order_is_not_given(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that can only be written shows nobody what is in force."""
    tree.write("/proc/sys/vm/compact_memory", "")
    monkeypatch.setattr(keys, "read_value", lambda root, key: None)
    made = applying.apply({"vm.compact_memory": "1"}, root=tree.root)
    assert [(item["key"], "cannot be read" in item["why"]) for item in made.not_set] == [("vm.compact_memory", True)]
    assert tree.read("/proc/sys/vm/compact_memory") == ""


def test_huge_pages_and_governors(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """/sys shows all words, the one in force in brackets; each CPU has a governor of its own."""
    pages = tree.write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    for cpu in (0, 1):
        tree.write(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave\n")
    plain = applying._write

    def write(path: str, value: str) -> int:
        # As the kernel does.
        return plain(path, "always madvise [never]\n" if path == str(pages) else value)

    monkeypatch.setattr(applying, "_write", write)
    wanted = {"hugepages": "never", "governor": "performance", "root": tree.root}
    assert applying.apply({}, check_mode=True, **wanted).after["cpu_governor"] == "performance"
    made = applying.apply({}, **wanted)
    assert (made.not_set, made.after["transparent_hugepages"]) == ([], "never")
    assert tree.read("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor").strip() == "performance"
    assert applying.apply({}, **wanted).after == {}


def test_a_system_without_them(tree: Tree) -> None:
    """As most virtual machines are: reported."""
    made = applying.apply({}, hugepages="never", governor="performance", root=tree.root)
    assert [(item["key"], item["why"]) for item in made.not_set] == [
        ("transparent_hugepages", "this system has no such setting"), ("cpu_governor", "this system has no such setting"),
    ]


def test_warnings() -> None:
    """A sentence for each reason and for each file."""
    items: list[dict[str, Any]] = [{"key": key, "wanted": "1", "in_force": None, "why": "so", "kept": True} for key in ("a.b", "c.d")]
    items.append({"key": "e.f", "wanted": "1", "in_force": "2", "why": "so", "kept": False})
    found = [{"key": "a.b", "file": "/etc/x", "value": None, "why": "later"}, {"key": "c.d", "file": "/etc/x", "value": "2", "why": "later"}]
    said = kernel_settings.warnings(items, found)
    assert [sentence.split(":")[0] for sentence in said] == ["Not set", "Not set", f"/etc/x overrides {files.SYSCTL_FILE} (later)"]
    assert "a.b (wanted 1, in force nothing), c.d (wanted 1, in force nothing)" in said[0]
    assert said[0].endswith("configured for the next boot.") and said[1].startswith("Not set: e.f (wanted 1, in force 2): so. It is not configured")
    assert said[2].endswith("a.b is excluded, c.d = 2.")


# Facts


def test_facts_of_a_host(tree: Tree) -> None:
    tree.write(files.SYSCTL_FILE, f"{files.MARK}\n# Set at boot.\n{BACKLOG} = 65535\n")
    tree.write("/proc/sys/net/core/somaxconn", "65535\n")
    tree.write("/etc/sysctl.d/99-x.conf", LINE)
    tree.write(files.LIMITS_FILE, "alice - memlock 1\n")
    found = state.read(["vm.swapiness", {"net/core/somaxconn": 1, 7: 1}, "../x", 5], tree.root)
    assert found["modules"] == ["nf_conntrack"]
    assert found["files"] == {files.SYSCTL_FILE: [f"{BACKLOG} = 65535"]}
    assert found["unmanaged_files"] == [files.LIMITS_FILE]
    assert found["missing_folders"] == ["/etc/modules-load.d", "/etc/modprobe.d", "/etc/tmpfiles.d"]
    assert found["sysctl"][BACKLOG] == {"value": "65535", "exists": True, "absence": "", "near": [], "conflicts": ["128"]}
    assert found["sysctl"]["vm.swapiness"]["near"] == ["vm.swappiness"]
    assert not found["sysctl"]["vm.swapiness"]["exists"]
    assert set(found["sysctl"]) == {*keys.OWN, "vm.swapiness"}


# As conntrack 1.4.7 prints it.
STATISTICS = """\
cpu=0   \tfound=5 invalid=1445 insert=0 insert_failed=1 drop=10 early_drop=3 error=0 search_restart=0 clash_resolve=0 chaintoolong=2
cpu=1   \tfound=8 invalid=988 insert=0 insert_failed=0 drop=16 early_drop=0 error=16 search_restart=0 clash_resolve=0 chaintoolong=0
"""


def conntrack_that(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conntrack that does this is on the path."""
    command = path / "bin" / "conntrack"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")


def test_connections(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of the namespace, and losses summed over the CPUs."""
    (tmp_path / "statistics").write_text(STATISTICS, encoding="utf-8")
    conntrack_that(tmp_path, f'[ "$*" = -S ] && cat {tmp_path}/statistics', monkeypatch)
    assert conntrack.read(tree.root) == {
        "count": 7, "max": 262144, "buckets": 262144, "drop": 26, "early_drop": 3, "insert_failed": 1, "chain_too_long": 2,
    }
    tree.without_conntrack()
    assert conntrack.read(tree.root) == {}


@pytest.mark.parametrize(("script", "drop"), [("exit 1", None), (f"echo '{STATISTICS.replace('chaintoolong', 'x')}'", 26)])
def test_losses_that_nobody_counts(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, drop: int | None) -> None:
    """Where conntrack fails, or is older than the count."""
    conntrack_that(tmp_path, script, monkeypatch)
    found = conntrack.read(tree.root)
    assert (found["count"], found["drop"], found["chain_too_long"]) == (7, drop, None)


def test_a_host_without_conntrack(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    assert conntrack.read(tree.root)["drop"] is None
