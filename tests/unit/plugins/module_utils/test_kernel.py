# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kernel parameters: their names, which file has the last word on them, what is set and what is said of the rest."""

from __future__ import annotations

import errno
import os
import struct

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import apply as applying, conntrack, keys, rivals, state
from ansible_collections.inferops.gpu.plugins.module_utils._kernel.wanted import LIMITS_FILE, MARK, MODULES_FILE, SYSCTL_FILE, TMPFILES_FILE, Wanted
from ansible_collections.inferops.gpu.plugins.modules import kernel_settings
from kernel_tree import BACKLOG, BUCKETS, MAX, Tree

WANTED = Wanted(
    sysctl={BUCKETS: "1048576", MAX: "1048576", BACKLOG: "65535"},
    modules=("nf_conntrack",),
    module_options={"nf_conntrack": "hashsize=1048576"},
)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Ends of paths with the error that writing there gives. A test runs as root, whom no file's mode keeps out."""
    refused: dict[str, int] = {}
    plain = applying._write

    def write(path: str, value: str) -> OSError | None:
        number = next((number for end, number in refused.items() if path.endswith(end)), None)
        return plain(path, value) if number is None else OSError(number, os.strerror(number))

    monkeypatch.setattr(applying, "_write", write)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and not any(str(path).endswith(end) for end in refused))
    return refused


def nothing_to_load(module: str, dry_run: bool) -> str:
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
    assert [(rival.key, rival.file, rival.value) for rival in rivals.conflicts(tree.root, WANTED.sysctl)] == [(BACKLOG, list(files)[-1], "128")]


@pytest.mark.parametrize("files", [case[1] for case in LOSES], ids=[case[0] for case in LOSES])
def test_files_that_lose(tree: Tree, files: dict[str, str]) -> None:
    for path, text in files.items():
        tree.write(path, text)
    assert rivals.conflicts(tree.root, WANTED.sysctl) == []


def test_sysctl_conf_where_a_link_leads_to_it(tree: Tree) -> None:
    """As on Debian 12 and Ubuntu; it is named as the user knows it."""
    tree.write("/etc/sysctl.conf", LINE)
    (tree.path / "etc/sysctl.d").mkdir()
    (tree.path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    [rival] = rivals.conflicts(tree.root, WANTED.sysctl)
    assert (rival.file, rival.value, rival.why) == ("/etc/sysctl.conf", "128", rivals.AT_BOOT)


def test_a_file_that_is_masked_by_a_link_to_nothing(tree: Tree) -> None:
    tree.write("/usr/lib/sysctl.d/99-x.conf", LINE)
    (tree.path / "etc/sysctl.d").mkdir(parents=True)
    (tree.path / "etc/sysctl.d/99-x.conf").symlink_to("/dev/null")
    assert rivals.conflicts(tree.root, WANTED.sysctl) == []


def test_a_parameter_that_is_taken_out(tree: Tree) -> None:
    tree.write("/etc/sysctl.d/99-x.conf", "-net.core.somaxconn\n")
    [rival] = rivals.conflicts(tree.root, WANTED.sysctl)
    assert (rival.value, rival.why) == (None, rivals.TAKEN_OUT)


def test_the_alias_wins_as_well(tree: Tree) -> None:
    tree.write("/etc/sysctl.d/99-x.conf", "net.nf_conntrack_max = 5\n")
    assert [rival.key for rival in rivals.conflicts(tree.root, WANTED.sysctl)] == [MAX]


UFW = [("net/core/somaxconn=128", "128"), ("net/core/*=128", "128"), ("net/core/somaxconn=65535", None), ("#net/core/somaxconn=128", None)]


@pytest.mark.parametrize(("line", "value"), UFW)
def test_ufw_has_a_file_of_its_own(tree: Tree, line: str, value: str | None) -> None:
    """It goes by the command sysctl, which takes a pattern for all that fit it."""
    tree.write("/etc/ufw/sysctl.conf", line)
    assert rivals.conflicts(tree.root, WANTED.sysctl) == []
    tree.write("/etc/default/ufw", "IPV6=yes\nIPT_SYSCTL=/etc/ufw/sysctl.conf\n")
    found = rivals.conflicts(tree.root, WANTED.sysctl)
    assert [(rival.file, rival.value, rival.why) for rival in found] == ([("/etc/ufw/sysctl.conf", value, rivals.BY_UFW)] if value else [])


# Setting them


def test_a_whole_host(tree: Tree) -> None:
    """Values, files, and nothing left to say; the second time nothing changes."""
    made = applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    assert (made.not_set, made.conflicts, made.released) == ([], [], [])
    assert made.values == WANTED.sysctl
    assert keys.read_value(tree.root, MAX) == "1048576"
    assert sorted(tree.files()) == ["etc/modprobe.d/inferops.conf", "etc/modules-load.d/inferops.conf", "etc/sysctl.d/90-inferops.conf"]
    assert f"{MAX} = 1048576\n" in tree.read(SYSCTL_FILE)
    assert tree.read(MODULES_FILE).endswith("\nnf_conntrack\n")
    assert (tree.path / SYSCTL_FILE.lstrip("/")).stat().st_mode & 0o777 == 0o644
    again = applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    assert (again.after, again.not_set) == ({}, [])


def test_check_mode_says_what_would_be(tree: Tree) -> None:
    """The same as what is done then, and nothing is touched."""
    before = tree.files()
    said = applying.apply(WANTED, tree.root, check_mode=True, modprobe=nothing_to_load)
    assert tree.files() == before
    assert keys.read_value(tree.root, MAX) == "262144"
    done = applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    assert (said.before, said.after, said.not_set) == (done.before, done.after, done.not_set)
    assert applying.apply(WANTED, tree.root, check_mode=True, modprobe=nothing_to_load).after == {}


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_cannot_be_set_is_named_and_kept(tree: Tree, refuse: dict[str, int], check_mode: bool) -> None:
    tree.in_a_container()
    refuse["nf_conntrack_max"] = errno.EACCES
    made = applying.apply(WANTED, tree.root, check_mode, modprobe=nothing_to_load)
    [row] = made.not_set
    assert (row["key"], row["wanted"], row["in_force"]) == (MAX, "1048576", "262144")
    assert "initial network namespace" in row["why"]
    assert MAX not in made.after and BACKLOG in made.after
    if not check_mode:
        assert f"{MAX} = 1048576\n" in tree.read(SYSCTL_FILE)
        again = applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
        assert (again.after, again.not_set) == ({}, [row])


def test_a_value_that_the_kernel_refuses_is_not_kept(tree: Tree, refuse: dict[str, int]) -> None:
    """It would make systemd-sysctl fail at each boot."""
    refuse["somaxconn"] = errno.EINVAL
    made = applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    assert [(row["key"], row["kept"]) for row in made.not_set] == [(BACKLOG, False)]
    assert "Invalid argument" in made.not_set[0]["why"]
    assert BACKLOG not in tree.read(SYSCTL_FILE) and MAX in tree.read(SYSCTL_FILE)
    assert applying.apply(WANTED, tree.root, modprobe=nothing_to_load).after == {}


def test_a_value_that_the_kernel_makes_another_of(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what is read afterwards; it is no change the second time."""
    monkeypatch.setattr(applying, "_write", lambda path, value: (Path(path).write_text("60000") and None) if path.endswith("somaxconn") else None)
    wanted = Wanted(sysctl={BACKLOG: "65535"})
    first = applying.apply(wanted, tree.root)
    assert first.after[BACKLOG] == "60000"
    assert "keeps another" in first.not_set[0]["why"]
    second = applying.apply(wanted, tree.root)
    assert second.after == {} and len(second.not_set) == 1


def test_a_module_is_loaded_first(tree: Tree) -> None:
    """Its parameters come with it; in check mode they are said to."""
    tree.without_conntrack()
    asked: list[tuple[str, bool]] = []

    def modprobe(module: str, dry_run: bool) -> str:
        asked.append((module, dry_run))
        if not dry_run:
            Tree(tree.path)
        return ""

    said = applying.apply(WANTED, tree.root, check_mode=True, modprobe=modprobe)
    assert said.after[MAX] == "1048576" and said.not_set == []
    done = applying.apply(WANTED, tree.root, modprobe=modprobe)
    assert done.not_set == [] and done.after["module nf_conntrack"] == "loaded"
    assert asked == [("nf_conntrack", True), ("nf_conntrack", False)]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_module_that_is_not_to_be_had(tree: Tree, check_mode: bool) -> None:
    """Why it can't be loaded is why its parameters are not set."""
    tree.without_conntrack()
    made = applying.apply(WANTED, tree.root, check_mode, modprobe=lambda _module, _dry_run: "FATAL: not found")
    assert [(row["key"], "FATAL: not found" in row["why"]) for row in made.not_set] == [(BUCKETS, True), (MAX, True)]
    assert BACKLOG in made.after


def test_an_order_is_not_given(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that can only be written shows nobody what is in force."""
    tree.write("/proc/sys/vm/compact_memory", "")
    monkeypatch.setattr(keys, "read_value", lambda root, key: None)
    made = applying.apply(Wanted(sysctl={"vm.compact_memory": "1"}), tree.root)
    assert [(row["key"], "read back" in row["why"]) for row in made.not_set] == [("vm.compact_memory", True)]
    assert tree.read("/proc/sys/vm/compact_memory") == ""


def test_what_is_no_longer_wanted_goes(tree: Tree) -> None:
    applying.apply(Wanted(sysctl={BACKLOG: "65535", "vm.swappiness": "10"}, memlock_users=("alice", "@nccl")), tree.root)
    assert tree.read(LIMITS_FILE).splitlines()[2:] == ["alice - memlock unlimited", "@nccl - memlock unlimited"]
    made = applying.apply(Wanted(sysctl={BACKLOG: "65535"}), tree.root)
    assert made.released == ["vm.swappiness"]
    assert sorted(tree.files()) == [SYSCTL_FILE.lstrip("/")]
    assert keys.read_value(tree.root, "vm.swappiness") == "10"


def test_a_file_of_somebody_else(tree: Tree) -> None:
    """Nothing is changed where one bears our file's name."""
    tree.write(LIMITS_FILE, "alice - memlock 1\n")
    with pytest.raises(applying.Foreign, match="90-inferops.conf"):
        applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    assert list(tree.files()) == [LIMITS_FILE.lstrip("/")]
    assert keys.read_value(tree.root, MAX) == "262144"


def test_huge_pages_and_governors(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """/sys shows all words, the one in force in brackets; each CPU has a governor of its own."""
    pages = tree.write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    for cpu in (0, 1):
        tree.write(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave\n")
    plain = applying._write

    def write(path: str, value: str) -> OSError | None:
        # As the kernel does.
        return plain(path, "always madvise [never]\n" if path == str(pages) else value)

    monkeypatch.setattr(applying, "_write", write)
    wanted = Wanted(transparent_hugepages="never", cpu_governor="performance")
    assert applying.apply(wanted, tree.root, check_mode=True).after["cpu_governor"] == "performance"
    made = applying.apply(wanted, tree.root)
    assert (made.not_set, made.after["transparent_hugepages"]) == ([], "never")
    assert tree.read("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor").strip() == "performance"
    assert tree.read(TMPFILES_FILE).splitlines()[2:] == [
        "w /sys/kernel/mm/transparent_hugepage/enabled - - - - never",
        "w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance",
    ]
    assert applying.apply(wanted, tree.root).after == {}


def test_a_system_without_them(tree: Tree) -> None:
    """As most virtual machines are: said, and kept for another day."""
    made = applying.apply(Wanted(transparent_hugepages="never", cpu_governor="performance"), tree.root)
    assert [row["key"] for row in made.not_set] == ["transparent_hugepages", "cpu_governor"]


def test_what_is_said() -> None:
    """A sentence a reason and a file."""
    rows: list[dict[str, Any]] = [{"key": key, "wanted": "1", "in_force": None, "why": "so", "kept": True} for key in ("a.b", "c.d")]
    rows.append({"key": "e.f", "wanted": "1", "in_force": "2", "why": "so", "kept": False})
    rivals_found = [{"key": "a.b", "file": "/etc/x", "value": None, "why": "later"}, {"key": "c.d", "file": "/etc/x", "value": "2", "why": "later"}]
    said = kernel_settings.warnings(rows, rivals_found)
    assert [sentence.split(":")[0] for sentence in said] == ["Not set", "Not set", f"/etc/x wins over {SYSCTL_FILE} (later)"]
    assert "a.b (wanted 1, in force nothing), c.d (wanted 1, in force nothing)" in said[0]
    assert said[0].endswith("kept for the next boot.") and said[1].startswith("Not set: e.f (wanted 1, in force 2): so. It is not kept")
    assert said[2].endswith("a.b is taken out, c.d = 2.")


# Facts


def test_facts_of_a_host(tree: Tree) -> None:
    applying.apply(WANTED, tree.root, modprobe=nothing_to_load)
    tree.write("/etc/sysctl.d/99-x.conf", LINE)
    found = state.read(["vm.swapiness", "net/core/somaxconn", "../x", 5], tree.root)
    assert found["modules"] == ["nf_conntrack"]
    assert all(text.startswith(MARK) for text in found["files"].values()) and len(found["files"]) == 3
    assert found["sysctl"][BACKLOG] == {
        "value": "65535", "exists": True, "absence": "", "near": [], "rivals": [{"file": "/etc/sysctl.d/99-x.conf", "value": "128"}],
    }
    assert found["sysctl"]["vm.swapiness"]["near"] == ["vm.swappiness"]
    assert not found["sysctl"]["vm.swapiness"]["exists"]
    assert set(found["sysctl"]) == {*state.OWN_KEYS, "vm.swapiness"}


TABLE = """entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create
00000036  00000000 00000000 00000000 00000008 00000000 00000000 00000002 00000000 00000001 0000000a 00000003 00000000  00000000 00000000
00000036  00000000 00000000 00000000 00000006 00000000 00000000 00000000 00000000 00000000 00000010 00000000 00000000  00000000 00000000
"""


def test_connections(tree: Tree) -> None:
    """Numbers of the namespace, and losses summed over the CPUs."""
    tree.write("/proc/net/stat/nf_conntrack", TABLE)
    assert conntrack.read(tree.root) == {
        "count": 7, "max": 262144, "buckets": 262144, "drop": 26, "early_drop": 3, "insert_failed": 1, "chain_too_long": 2,
    }
    tree.without_conntrack()
    assert conntrack.read(tree.root) == {}


def test_an_older_table() -> None:
    """Before Linux 5.15 nobody counted long chains."""
    assert conntrack.parse_table(TABLE.replace("chainlength", "delete_list"))["chain_too_long"] is None
    assert conntrack.parse_table("") == dict.fromkeys(("drop", "early_drop", "insert_failed", "chain_too_long"))


def message(kind: int, **attributes: int) -> bytes:
    """A netlink message with numbers as attributes, by their number after an underscore."""
    body = struct.pack("=BBH", 0, 0, 0)
    body += b"".join(struct.pack("=HH", 8, int(name[1:])) + struct.pack(">I", value) for name, value in attributes.items())
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def test_netlink_messages() -> None:
    """One a CPU; what is no answer to the question, or broken off, is passed over."""
    data = message(0x104, _2=9, _9=1, _10=2, _11=3) + message(0x104, _9=10, _10=20, _11=30) + message(3)
    assert conntrack.parse_messages(data) == {"drop": 22, "early_drop": 33, "insert_failed": 11, "chain_too_long": None}
    assert conntrack._has_ended(data) and not conntrack._has_ended(data[:-20])
    assert conntrack.parse_messages(message(2)) == dict.fromkeys(("drop", "early_drop", "insert_failed", "chain_too_long"))
    assert conntrack.parse_messages(data[:30])["drop"] is None
