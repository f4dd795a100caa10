# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a service has finished its requests: by the engine's own metrics, and by the connections of its clients."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
import typing as t

from .. import _openai_api, _reading
from ..supervisor import metrics

# Seconds without a running request after which open connections count as idle: a load balancer that checks health every one or two seconds has
# noticed by then that the port is closed, and sends nothing over a connection that it keeps.
IDLE_SECONDS = 5.0
LOOK_SECONDS = 0.25
# Seconds for one answer of /metrics. An engine that hangs answers it as well, so no answer means that its API server hangs or is gone.
ANSWER_SECONDS = 5.0
# TCP_ESTABLISHED (include/net/tcp_states.h).
_ESTABLISHED = "01"


class Reading(t.NamedTuple):
    """Requests that run or wait, None when the engine does not count them; and open connections from other addresses."""

    requests: t.Optional[int]
    connections: int

    @property
    def is_busy(self) -> bool:
        """Whether a request may be running. Without counts each open connection may have one."""
        return self.connections > 0 if self.requests is None else self.requests > 0


class Gone(Exception):
    """The engine does not answer: there is nothing to wait for."""


def read(api: _openai_api.Api, port: int) -> Reading:
    """Return a reading. Raises Gone."""
    requests = None
    try:
        text = api.read("/metrics", timeout=ANSWER_SECONDS)
    except _openai_api.ApiError as error:
        if not error.status:
            raise Gone(str(error)) from error
    else:
        found = metrics.parse(text.decode(errors="replace"))
        requests = None if found is None else found.running + found.waiting
    return Reading(requests, len(connections(port)))


def connections(port: int) -> list[str]:
    """The addresses that have an established connection to a port, other than loopback addresses."""
    found = []
    for path, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        found += established(_reading.read_text(path), family, port)
    return found


def established(text: str, family: int, port: int) -> list[str]:
    """The remote addresses of established connections to a local port, in the text of /proc/net/tcp or tcp6, without loopback addresses."""
    found = []
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) < 4 or cells[3] != _ESTABLISHED or int(cells[1].partition(":")[2], 16) != port:
            continue
        raw = cells[2].partition(":")[0]
        # Each 32-bit word is in host byte order.
        words = [int(raw[start:start + 8], 16) for start in range(0, len(raw), 8)]
        address = ipaddress.ip_address(socket.inet_ntop(family, b"".join(struct.pack("=I", word) for word in words)))
        mapped = getattr(address, "ipv4_mapped", None) or address
        if not mapped.is_loopback:
            found.append(str(mapped))
    return found


def wait(
    look: t.Callable[[], Reading], runs: t.Callable[[], bool], seconds: float, clock: t.Callable[[], float] = time.monotonic,
    pause: t.Callable[[float], None] = time.sleep,
) -> str:
    """Wait until no request runs, for C(seconds) at most. Return what is left, for people; empty when nothing is.

    :param look: returns a reading
    :param runs: whether the engine still runs and answers
    """
    began = idle_since = clock()
    while True:
        if not runs():
            return ""
        try:
            now = look()
        except Gone as gone:
            return f"the engine does not answer: {gone}"
        if now.is_busy:
            idle_since = clock()
        elif not now.connections or clock() - idle_since >= IDLE_SECONDS:
            return ""
        if clock() - began >= seconds:
            what = f"{now.connections} connections" if now.requests is None else f"{now.requests} requests"
            return f"{what} left after {seconds:.0f} s" if now.is_busy else ""
        pause(LOOK_SECONDS)
