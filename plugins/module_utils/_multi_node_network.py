# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways from one node of a service to the others: routes, ports, clocks and RDMA devices."""

from __future__ import annotations

import concurrent.futures
import errno
import glob
import json
import os
import selectors
import signal
import socket
import time
import typing as t

from . import _host

# Seconds to wait for a port: on a cluster's own network an answer takes milliseconds, and what is dropped never answers.
REACH_SECONDS = 3.0
AT_ONCE = 32


def listen_for(address: str, ports: t.Sequence[int], seconds: float) -> list[int]:
    """Listen on the ports in a process of its own and tell everybody who comes the time; return those on which somebody else listens already.

    Raises OSError when the address is not the host's.
    """
    end_listening()
    servers, taken = [], []
    for port in ports:
        try:
            servers.append(socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken.append(port)
    if os.fork() == 0:
        # The child must not keep the module's output open, on which its caller waits.
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        with open("/proc/self/comm", "w", encoding="ascii") as file:
            file.write(_host.NETWORK_PROBE)
        tell_time(servers, seconds)
        os._exit(0)
    return taken


def end_listening() -> None:
    """End what listens, of this run or of one that died, so that the ports are free for those whose they are."""
    for pid in _host.network_probes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # Its time was up.


def tell_time(servers: t.Sequence[socket.socket], seconds: float) -> None:
    """Send the time to whoever connects, for some seconds."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for server in servers:
            selector.register(server, selectors.EVENT_READ)
        while time.monotonic() < end:
            for key, _events in selector.select(timeout=1):
                try:
                    connection, _address = t.cast(socket.socket, key.fileobj).accept()
                    with connection:
                        connection.sendall(f"inferops {time.time():.6f}\n".encode())
                except OSError:
                    continue  # Who asked has gone away again.


def each_once(peers: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the nodes, each once with all of its ports. Services may have nodes in common."""
    found: dict[str, dict[str, t.Any]] = {}
    for peer in peers:
        known = found.setdefault(peer["host"], {**peer, "ports": []})
        known["ports"] += [port for port in peer["ports"] if port not in known["ports"]]
    return list(found.values())


def look_at(address: str, ports: t.Sequence[int]) -> dict[str, t.Any]:
    """Return how another node is reached, and which of its ports are closed."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = dict(zip(ports, pool.map(lambda port: reach(address, port), ports)))
    skews = [skew for _error, skew in answers.values() if skew is not None]
    return {
        **route(address),
        "closed": {str(port): error for port, (error, _skew) in answers.items() if error},
        # The one that took the shortest way is the best known; all of them are of the same two clocks.
        "skew": min(skews, key=abs) if skews else None,
    }


def reach(address: str, port: int) -> tuple[str, float | None]:
    """Connect to a port; return why that failed (empty when it did not), and how many seconds the other clock is ahead where it was told."""
    began = time.time()
    try:
        with socket.create_connection((address, port), timeout=REACH_SECONDS) as connection:
            connection.settimeout(1.0)
            try:
                said = connection.makefile("rb").readline(64).split()
            except OSError:
                # Somebody who does not speak first, as Ray does not.
                said = []
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)) or type(error).__name__, None
    if len(said) == 2 and said[0] == b"inferops":
        return "", float(said[1]) - (began + time.time()) / 2
    return "", None


def route(address: str) -> dict[str, t.Any]:
    """Return interface, source address and MTU by which the kernel reaches an address; empty values where it knows no way."""
    try:
        found = json.loads(_host.run("ip", "-json", "route", "get", address))[0]
    except (ValueError, IndexError):
        return {"interface": "", "source": "", "mtu": 0}
    interface = str(found.get("dev", ""))
    mtu = _host.read_text(f"/sys/class/net/{interface}/mtu").strip()
    return {"interface": interface, "source": str(found.get("prefsrc", "")), "mtu": int(mtu) if mtu.isdigit() else 0}


def rdma_devices(folder: str = "/sys/class/infiniband") -> list[dict[str, str]]:
    """Return the host's RDMA devices with the state (such as "ACTIVE") and the link layer ("InfiniBand", "Ethernet") of their first port."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "*"))):
        state = _host.read_text(os.path.join(path, "ports", "1", "state")).strip()
        layer = _host.read_text(os.path.join(path, "ports", "1", "link_layer")).strip()
        found.append({"name": os.path.basename(path), "state": state.partition(": ")[2] or state, "link_layer": layer})
    return found
