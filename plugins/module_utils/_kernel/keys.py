# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of kernel parameters, and whether a name that a host does not have can be right all the same."""

from __future__ import annotations

import difflib
import os
import re

# What sysctl.d takes for a pattern (string_is_glob of systemd).
_GLOB = re.compile(r"[*?\[]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@:+./-]*[A-Za-z0-9_@:+-]")
_SWAP = str.maketrans("./", "/.")

# One variable under two names: the kernel shows the limit of the connection table below net as well.
_ALIASES = {"net.nf_conntrack_max": "net.netfilter.nf_conntrack_max"}

# The hash table of connections takes whole pages of 8-byte slots (nf_ct_alloc_hashtable); pages have up to 64 KiB.
_BUCKETS = "net.netfilter.nf_conntrack_buckets"
_MOST_ROUNDING = 65536 // 8

# Only the initial network namespace has this one (net_core_table against netns_core_table of net/core/sysctl_net_core.c).
_INITIAL_MARK = "net.core.netdev_max_backlog"

# What other network namespaces than the initial one do not show: seen on Linux 6.18, and what older kernels hide beyond that.
# A container lacks them, and they are no mistake there.
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

# Directories that come and go with a module or a kernel option. What stands below one that is not there may be right.
_OPTIONAL = ("net.bridge", "net.ipv6", "net.mpls", "net.mptcp", "net.netfilter", "net.nf_conntrack_max", "net.rds", "net.sctp", "net.smc",
             "net.unix", "net.vsock", "fs.binfmt_misc", "fs.lustre", "fs.nfs", "fs.quota", "kernel.sched_domain", "kernel.yama", "lnet", "sunrpc")
_PER_INTERFACE = re.compile(r"(net\.ipv[46]\.(?:conf|neigh))\.[^.]+\.([^.]+)")
_INTERFACES = re.compile(r"net/ipv[46]/(?:conf|neigh)")
_CONNTRACK = re.compile(r"net\.(?:netfilter\.nf_(?:conntrack|flowtable)_\w+|nf_conntrack_max)")

# What this collection may set by itself; users' additions come to it.
OWN = (
    "net.core.rmem_max", "net.core.somaxconn", "net.core.wmem_max", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait", "vm.swappiness",
)

_NEAR = 0.75
_VERY_NEAR = 0.85


def path_of(key: str) -> str:
    """The path of a parameter below /proc/sys. As in sysctl.d, names are split at whichever of '.' and '/' comes first; the other is part of a name."""
    first = next((letter for letter in key if letter in "./"), "/")
    return (key.translate(_SWAP) if first == "." else key).strip("/")


def canonical(key: str) -> str:
    """The name of a parameter with dots, whichever way it was written. An alias gives the name that this collection uses."""
    dotted = path_of(key).translate(_SWAP)
    return _ALIASES.get(dotted, dotted)


def is_pattern(key: str) -> bool:
    """Whether sysctl.d would take this for a pattern of names."""
    return bool(_GLOB.search(key))


def is_name(key: str) -> bool:
    """Whether this can be the name of a parameter at all: it is made into a path."""
    parts = path_of(key).split("/")
    return bool(_NAME.fullmatch(key)) and len(parts) > 1 and all(part not in ("", ".", "..") for part in parts)


def plain(value: str) -> str:
    """A value with single spaces: the kernel answers numbers in a row with tabs between them."""
    return " ".join(value.split())


def same(key: str, wanted: str, found: str | None) -> bool:
    """Whether the value that was found is the one that is wanted."""
    if found is None:
        return False
    if key == _BUCKETS and wanted.isdigit() and found.isdigit():
        return 0 <= int(found) - int(wanted) < _MOST_ROUNDING
    return plain(wanted) == plain(found)


def read_value(root: str, key: str) -> str | None:
    """The value in force; None where there is none, or none that can be read."""
    try:
        with open(os.path.join(root, "proc/sys", path_of(key)), encoding="utf-8", errors="replace") as file:
            return plain(file.read())
    except (OSError, ValueError):
        return None


def exists(root: str, key: str) -> bool:
    """Whether the host shows a parameter of this name."""
    return os.path.isfile(os.path.join(root, "proc/sys", path_of(key)))


def is_initial_network(root: str) -> bool:
    """Whether this is the initial network namespace: the one of a machine, and not of a container on it."""
    return exists(root, _INITIAL_MARK)


def absence(root: str, key: str) -> str:
    """Why a parameter that the host does not show may be right all the same; empty where it can only be a mistake."""
    if key.startswith("net.") and not is_initial_network(root) and not _is_misspelt(root, key):
        return "this network namespace (a container's) does not have it; the initial one may"
    if _CONNTRACK.fullmatch(key) and not exists(root, "net.netfilter.nf_conntrack_max"):
        return "the module nf_conntrack is not loaded"
    interface = _PER_INTERFACE.fullmatch(key)
    if interface and exists(root, f"{interface.group(1)}.default.{interface.group(2)}"):
        return "there is no network interface of this name"
    for directory in _OPTIONAL:
        if (key == directory or key.startswith(directory + ".")) and not os.path.exists(os.path.join(root, "proc/sys", path_of(directory))):
            return f"nothing here has {directory}: a module or an option of the kernel brings it"
    return ""


def listing(root: str) -> list[str]:
    """Names of the parameters that the host shows; of those that each network interface has, the ones for all and for new interfaces."""
    top = os.path.join(root, "proc/sys")
    found = []
    for folder, folders, names in os.walk(top):
        place = os.path.relpath(folder, top)
        if _INTERFACES.fullmatch(place):
            folders[:] = [name for name in folders if name in ("all", "default")]
        found += [os.path.normpath(os.path.join(place, name)).translate(_SWAP) for name in names]
    return sorted(found)


def near(root: str, key: str, limit: int = 3) -> list[str]:
    """Names of the host that are much like this one, best first."""
    return difflib.get_close_matches(key, listing(root), n=limit, cutoff=_NEAR)


def _is_misspelt(root: str, key: str) -> bool:
    """Whether a name that only other namespaces could have is so much like one that is here that it must mean that."""
    if key in INITIAL_ONLY or _PER_INTERFACE.fullmatch(key) or _CONNTRACK.fullmatch(key):
        return False
    closest = difflib.get_close_matches(key, {*listing(root), *INITIAL_ONLY}, n=1, cutoff=_VERY_NEAR)
    return bool(closest)
