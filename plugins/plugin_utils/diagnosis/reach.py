# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the controller reaches the ports that services listen on: if not, something between them drops the packets."""

from __future__ import annotations

import socket
import urllib.parse

from concurrent.futures import ThreadPoolExecutor
from collections.abc import Callable, Sequence
from typing import Iterator, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import Finding, warning

from .host import Host

# Time limit of a connection in seconds, and connections at the same time.
SECONDS = 5
AT_ONCE = 32
_LOOPBACK = ("127.", "localhost", "::1")


def connect(address: tuple[str, int]) -> str:
    """Why no connection was possible; empty when it was."""
    try:
        socket.create_connection(address, SECONDS).close()
        return ""
    except OSError as problem:
        return problem.strerror or str(problem) or type(problem).__name__


def check(hosts: Sequence[Host], connected: Callable[[tuple[str, int]], str] = connect) -> Iterator[tuple[str, Finding]]:
    """Each API that listens on its host, with the name of the host."""
    wanted = [(host, service, (str(parts.hostname), parts.port or 80)) for host in hosts for service, parts in _urls(host)]
    if not wanted:
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(wanted))) as pool:
        answers = list(pool.map(connected, [address for _host, _service, address in wanted]))
    for (host, service, (address, port)), answer in zip(wanted, answers):
        if answer:
            cause = f"port {port} listens on this host, and the controller cannot reach {address}:{port} ({answer}): a firewall or a route is in the way"
            yield host.name, warning("api-unreachable", cause, f"ufw status numbered | grep {port}", service)


def _urls(host: Host) -> Iterator[tuple[str, urllib.parse.SplitResult]]:
    listening: Mapping[int, str] = {item["port"]: item["address"] for item in host.facts.get("listeners", ())}
    for service in host.services:
        if service.get("url") and not str(service.get("address", "")).startswith(_LOOPBACK) and service["port"] in listening:
            yield service["name"], urllib.parse.urlsplit(service["url"])
