#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A burst of short connections to a port behind the firewall, with the kernel tuned and untuned; conntrack.sh brings up what it needs.

    python tests/bench/conntrack.py [CONNECTIONS]      CONNECTIONS: 20000

From one machine of molecule/host_tuning to another, once for each set of values. The size of the table of connections is one for the
controller's kernel and all that runs on it: it is changed for the run and put back at its end. Packets between two containers on one
bridge would be tracked by the controller as well, and its own table be full first; while this runs they are not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "lab"), str(ROOT / "tests" / "lab" / "host_tuning")]

from lab import ENVIRONMENT, SSH_CONFIG  # noqa: E402
from reach import ADDRESS, ALONE, FIRST, KERNEL, STRANGER, conntrack, on, restart  # noqa: E402

BRIDGE = "/proc/sys/net/bridge/bridge-nf-call-iptables"
TABLE = ("nf_conntrack_max", "nf_conntrack_buckets")


@dataclass(frozen=True)
class Case:
    """Values: those of the table, and those of the machine's own namespace by their path below /proc/sys/net."""

    name: str
    table: tuple[int, int]
    own: dict[str, int]


TUNED = {
    "netfilter/nf_conntrack_tcp_timeout_established": 600,
    "netfilter/nf_conntrack_tcp_timeout_time_wait": 30,
    "core/somaxconn": 65535,
    "ipv4/tcp_max_syn_backlog": 65535,
}
# The machine that opens the connections tracks them as well, because of the engine's own rules in it: it is to forget them at once, since
# in real life they come from many machines.
CLIENT = {f"netfilter/nf_conntrack_tcp_timeout_{state}": 1 for state in ("fin_wait", "close_wait", "last_ack", "time_wait", "close")}
# Linux's own, since 5.4 (somaxconn), in every new network namespace.
UNTUNED = {
    "netfilter/nf_conntrack_tcp_timeout_established": 432000,
    "netfilter/nf_conntrack_tcp_timeout_time_wait": 120,
    "core/somaxconn": 4096,
    "ipv4/tcp_max_syn_backlog": 2048,
}


def settings(machine: str, values: dict[str, int]) -> None:
    """Sets values in a machine, and sees that they are in force."""
    on(machine, "; ".join(f"echo {value} >/proc/sys/net/{path}" for path, value in values.items()))
    said = [int(line) for line in on(machine, f"cat {' '.join(f'/proc/sys/net/{path}' for path in values)}").split()]
    assert said == list(values.values()), (machine, values, said)


def table(sizes: tuple[int, int]) -> dict[str, int]:
    """The values of a table by their path."""
    return {f"netfilter/{name}": size for name, size in zip(TABLE, sizes, strict=True)}


def burst(count: int) -> dict[str, Any]:
    """The connections, from the stranger to the first machine."""
    done = subprocess.run(
        ["ssh", "-F", SSH_CONFIG, STRANGER, "python3", "-", ADDRESS[FIRST], str(ALONE), str(count)],
        input=(HERE / "burst.py").read_text(encoding="utf-8"), text=True, stdout=subprocess.PIPE, check=True, timeout=600,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_for_room(size: int) -> None:
    """Waits until the controller's own connections fill less than a quarter of a table: a full one would cut off everybody here."""
    for _ in range(180):
        if int(on(KERNEL, "cat /proc/sys/net/netfilter/nf_conntrack_count")) < size // 4:
            return
        time.sleep(1)
    raise SystemExit(f"the controller itself has more connections than a quarter of {size}: not now")


def run(case: Case, count: int) -> None:
    """One line for a case. The machine restarts, which clears its table and the counters."""
    restart(FIRST, STRANGER)
    wait_for_room(case.table[0])
    settings(KERNEL, table(case.table))
    settings(FIRST, case.own)
    settings(STRANGER, CLIENT)
    # The listener's queue is as long as somaxconn was when it began to listen.
    on(FIRST, "systemctl restart vllm-alone.service && sleep 1")
    found = burst(count)
    left = conntrack(FIRST)
    failed = sum(found["failed"].values())
    lost = "  ".join(f"{left[name]!s:>{len(name)}}" for name in ("drop", "early_drop", "insert_failed"))
    print(
        f"{case.name:<34} {case.table[0]:>8} {found['made']:>7} {failed:>7} {found['seconds']:>8.1f} {found['longest']:>8.1f} {left['count']:>7}  {lost}"
        + (f"   {found['failed']}" if failed else ""),
        flush=True,
    )


def main() -> None:
    """Print a line for each case."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    tracked = int(on(KERNEL, f"cat {BRIDGE} 2>/dev/null || echo 0"))
    most, buckets = (int(on(KERNEL, f"cat /proc/sys/net/netfilter/{name}")) for name in TABLE)
    saved = ROOT / ".lab" / "labs" / ENVIRONMENT["LAB_NAME"] / KERNEL / "kernel"
    before = dict(line.partition(" ")[::2] for line in saved.read_text(encoding="utf-8").splitlines()[1:])
    own = (int(before["nf_conntrack_max"]), int(before["netfilter/nf_conntrack_buckets"]))
    cases = [
        Case("tuned", (1048576, 1048576), TUNED),
        Case("untuned: this kernel's own", own, UNTUNED),
        # nf_conntrack_init_start() in net/netfilter/nf_conntrack_core.c: memory / 16384 / 8 buckets, and as many connections, up to 1 GiB.
        Case("untuned: a host of 1 GiB", (8192, 8192), UNTUNED),
        Case("tuned but for the table of 1 GiB", (8192, 8192), TUNED),
    ]
    print(f"{count} connections, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'values':<34} {'max':>8} {'made':>7} {'failed':>7} {'seconds':>8} {'longest':>8} {'tracked':>7}  drop  early_drop  insert_failed")
    try:
        if tracked:
            on(KERNEL, f"echo 0 >{BRIDGE}")
        for case in cases:
            run(case, count)
            settings(KERNEL, table((most, buckets)))
    finally:
        if tracked:
            on(KERNEL, f"echo {tracked} >{BRIDGE}")
        settings(KERNEL, table((most, buckets)))


if __name__ == "__main__":
    main()
