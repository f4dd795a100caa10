# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of kernel parameters, and whether a name may be right although the host does not have it."""

from __future__ import annotations

import difflib
import os
import re

# What sysctl.d treats as a pattern (string_is_glob of systemd).
_GLOB = re.compile(r"[*?\[]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@:+./-]*[A-Za-z0-9_@:+-]")
_SWAP = str.maketrans("./", "/.")

# One variable with two names: the kernel also shows the limit of the connection table directly in net.
_ALIASES = {"net.nf_conntrack_max": "net.netfilter.nf_conntrack_max"}

# The hash table of connections is rounded up to whole pages of 8-byte slots (nf_ct_alloc_hashtable); pages have up to 64 KiB.
_BUCKETS = "net.netfilter.nf_conntrack_buckets"
_MOST_ROUNDING = 65536 // 8

# Only the initial network namespace has this parameter (net_core_table, not netns_core_table, of net/core/sysctl_net_core.c).
_INITIAL_MARK = "net.core.netdev_max_backlog"

# Parameters that only the initial network namespace shows: on Linux 6.18, and those that older kernels hide as well.
# A container lacks them, so there they are not a mistake.
INITIAL_ONLY = frozenset(
    [f"net.core.{name}" for name in (
        "bpf_jit_enable", "bpf_jit_harden", "bpf_jit_kallsyms", "bpf_jit_limit", "busy_poll", "busy_read", "default_qdisc", "dev_weight",
        "dev_weight_rx_bias", "dev_weight_tx_bias", "devconf_inherit_init_net", "fb_tunnels_only_for_init_net", "flow_limit_cpu_bitmap",
        "flow_limit_table_len", "gro_normal_batch", "high_order_alloc_disable", "max_skb_frags", "mem_pcpu_rsv", "message_burst", "message_cost",
        "netdev_budget", "netdev_budget_usecs", "netdev_max_backlog", "netdev_rss_key", "netdev_tstamp_prequeue", "netdev_unregister_timeout_secs",
        "optmem_max", "rmem_default", "rmem_max", "rps_sock_flow_entries", "skb_defer_max", "tstamp_allow_data", "warnings", "wmem_default", "wmem_max",
    )]
    + [f"net.ipv4.{name}" for name in (
        "cipso_cache_bucket_size", "cipso_cache_enable", "cipso_rbm_optfmt", "cipso_rbm_strictvalid", "fib_sync_mem", "inet_peer_maxttl",
        "inet_peer_minttl", "inet_peer_threshold", "ipfrag_secret_interval", "route.error_burst", "route.error_cost", "route.gc_elasticity",
        "route.gc_interval", "route.gc_min_interval", "route.gc_min_interval_ms", "route.gc_thresh", "route.gc_timeout", "route.max_size",
        "route.redirect_load", "route.redirect_number", "route.redirect_silence", "tcp_allowed_congestion_control",
        "tcp_available_congestion_control", "tcp_available_ulp", "tcp_low_latency", "tcp_max_orphans", "tcp_mem", "udp_mem",
    )]
    + [f"net.ipv6.{name}" for name in ("calipso_cache_bucket_size", "calipso_cache_enable", "ip6frag_secret_interval", "mld_max_msf", "mld_qrv")]
    + [f"net.{family}.neigh.default.{name}" for family in ("ipv4", "ipv6") for name in ("gc_interval", "gc_thresh1", "gc_thresh2", "gc_thresh3")]
    + ["net.netfilter.nf_log_all_netns", "net.nf_conntrack_max"]
)

# Directories that depend on a module or a kernel option. Parameters in a missing one may be right.
_OPTIONAL = ("net.bridge", "net.ipv6", "net.mpls", "net.mptcp", "net.netfilter", "net.nf_conntrack_max", "net.rds", "net.sctp", "net.smc",
             "net.unix", "net.vsock", "fs.binfmt_misc", "fs.lustre", "fs.nfs", "fs.quota", "kernel.sched_domain", "kernel.yama", "lnet", "sunrpc")
_PER_INTERFACE = re.compile(r"(net\.ipv[46]\.(?:conf|neigh))\.[^.]+\.([^.]+)")
_INTERFACES = re.compile(r"net/ipv[46]/(?:conf|neigh)")
_CONNTRACK = re.compile(r"net\.(?:netfilter\.nf_(?:conntrack|flowtable)_\w+|nf_conntrack_max)")

# Parameters that this collection may set by itself; users may add others.
OWN = (
    "net.core.rmem_max", "net.core.somaxconn", "net.core.wmem_max", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait", "vm.swappiness",
)

_NEAR = 0.75
_VERY_NEAR = 0.85


def path_of(key: str) -> str:
    """The path of a parameter in /proc/sys. As in sysctl.d, the first of '.' and '/' is the separator; the other one is part of a name."""
    first = next((letter for letter in key if letter in "./"), "/")
    return (key.translate(_SWAP) if first == "." else key).strip("/")


def canonical(key: str) -> str:
    """The name of a parameter with dots, for both spellings. An alias becomes the name that this collection uses."""
    dotted = path_of(key).translate(_SWAP)
    return _ALIASES.get(dotted, dotted)


def is_pattern(key: str) -> bool:
    """Whether sysctl.d would treat this as a pattern of names."""
    return bool(_GLOB.search(key))


def is_name(key: str) -> bool:
    """Whether this can be the name of a parameter. Checked because it becomes a path."""
    parts = path_of(key).split("/")
    return bool(_NAME.fullmatch(key)) and len(parts) > 1 and all(part not in ("", ".", "..") for part in parts)


def plain(value: str) -> str:
    """A value with single spaces: the kernel separates several numbers by tabs."""
    return " ".join(value.split())


def same(key: str, wanted: str, found: str | None) -> bool:
    """Whether the value in force is the wanted one."""
    if found is None:
        return False
    if key == _BUCKETS and wanted.isdigit() and found.isdigit():
        return 0 <= int(found) - int(wanted) < _MOST_ROUNDING
    return plain(wanted) == plain(found)


def read_value(root: str, key: str) -> str | None:
    """The value in force; None when there is none, or it cannot be read."""
    try:
        with open(os.path.join(root, "proc/sys", path_of(key)), encoding="utf-8", errors="replace") as file:
            return plain(file.read())
    except (OSError, ValueError):
        return None


def exists(root: str, key: str) -> bool:
    """Whether the host shows a parameter of this name."""
    return os.path.isfile(os.path.join(root, "proc/sys", path_of(key)))


def is_initial_network(root: str) -> bool:
    """Whether this is the initial network namespace: the host's, not a container's."""
    return exists(root, _INITIAL_MARK)


def absence(root: str, key: str) -> str:
    """Why a parameter may be right although the host does not have it; empty when it must be a mistake."""
    if key.startswith("net.") and not is_initial_network(root) and not _is_misspelt(root, key):
        return "this network namespace (a container's) does not have it; the host's may have it"
    if _CONNTRACK.fullmatch(key) and not exists(root, "net.netfilter.nf_conntrack_max"):
        return "the module nf_conntrack is not loaded"
    interface = _PER_INTERFACE.fullmatch(key)
    if interface and exists(root, f"{interface.group(1)}.default.{interface.group(2)}"):
        return "there is no network interface of this name"
    for directory in _OPTIONAL:
        if (key == directory or key.startswith(directory + ".")) and not os.path.exists(os.path.join(root, "proc/sys", path_of(directory))):
            return f"this kernel has no {directory}, which needs a kernel module or option"
    return ""


def listing(root: str) -> list[str]:
    """Names of the host's parameters; of those for each network interface only C(all) and C(default)."""
    top = os.path.join(root, "proc/sys")
    found = []
    for folder, folders, names in os.walk(top):
        place = os.path.relpath(folder, top)
        if _INTERFACES.fullmatch(place):
            folders[:] = [name for name in folders if name in ("all", "default")]
        found += [os.path.normpath(os.path.join(place, name)).translate(_SWAP) for name in names]
    return sorted(found)


def near(root: str, key: str, limit: int = 3) -> list[str]:
    """The host's names that are most similar to this one, best first."""
    return difflib.get_close_matches(key, listing(root), n=limit, cutoff=_NEAR)


def _is_misspelt(root: str, key: str) -> bool:
    """Whether a name that only other namespaces could have is so similar to an existing one that it must be a typing error."""
    if key in INITIAL_ONLY or _PER_INTERFACE.fullmatch(key) or _CONNTRACK.fullmatch(key):
        return False
    closest = difflib.get_close_matches(key, {*listing(root), *INITIAL_ONLY}, n=1, cutoff=_VERY_NEAR)
    return bool(closest)
