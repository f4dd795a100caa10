# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall of a machine as UFW and the kernel tell it, and a UFW that stops in the middle."""

from __future__ import annotations

import re

from reach import on

# Everything that a run may change on a host, as one text: files by their digest, the kernel's tables without their counters, parameters.
_STATE = r"""
find /etc/ufw /etc/default/ufw /etc/sysctl.d /etc/modules-load.d /etc/modprobe.d /etc/systemd/system -type f -exec sha256sum {} + 2>/dev/null | sort -k 2
dpkg-query --show
for command in iptables-save ip6tables-save; do command -v $command >/dev/null && $command | sed -e '/^#/d' -e 's/\[[0-9:]*\]//'; done
sysctl net.core.somaxconn net.ipv4.tcp_max_syn_backlog net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_timeout_established
true
"""

# Before UFW's own on root's path. What /run/lab-ufw/after matches is done, and then waits for ever, with the process that asked for it.
_WRAPPER = r"""#!/bin/sh
/usr/sbin/ufw "$@" || exit
if [ -e /run/lab-ufw/after ] && echo "$*" | grep -qxE -f /run/lab-ufw/after; then
    echo "$PPID $$" >/run/lab-ufw/hangs
    exec sleep infinity
fi
"""


def state(name: str) -> str:
    """A machine's state, to be compared with a later one."""
    return on(name, _STATE)


def status(name: str) -> str:
    """What `ufw status verbose` says."""
    return on(name, "ufw status verbose")


def is_active(name: str) -> bool:
    """Whether UFW is at work."""
    return on(name, "command -v ufw >/dev/null && ufw status || true").startswith("Status: active")


def is_pending(name: str) -> bool:
    """Whether a change waits to be confirmed, or its taking back is not over."""
    return on(name, "ls /var/lib/inferops/firewall/ 2>/dev/null | grep -x former || true") != ""


def rules(name: str, family: int = 4) -> list[str]:
    """UFW's rules for incoming packets in the kernel, in their order."""
    command, chain = ("iptables-save", "ufw-user-input") if family == 4 else ("ip6tables-save", "ufw6-user-input")
    return [line for line in on(name, command).splitlines() if line.startswith(f"-A {chain} ")]


def policy(name: str, chain: str, family: int = 4) -> str:
    """The policy of a chain of the kernel's."""
    said = on(name, "iptables-save" if family == 4 else "ip6tables-save")
    found = re.search(rf"^:{chain} (\w+)", said, re.MULTILINE)
    return found[1] if found else ""


def stop_after(name: str, call: str) -> None:
    """Have the next call of UFW that matches hang when it has done its work."""
    on(name, f"mkdir -p /run/lab-ufw && cat >/usr/local/sbin/ufw <<'END'\n{_WRAPPER}END\nchmod +x /usr/local/sbin/ufw; echo '{call}' >/run/lab-ufw/after")


def is_stopped(name: str) -> bool:
    """Whether such a call hangs."""
    return bool(on(name, "cat /run/lab-ufw/hangs 2>/dev/null || true"))


def kill(name: str) -> None:
    """Kill what hangs, and what asked for it, as the kernel would for want of memory; then UFW is itself again."""
    on(name, "kill -9 $(cat /run/lab-ufw/hangs); rm -rf /run/lab-ufw /usr/local/sbin/ufw")
