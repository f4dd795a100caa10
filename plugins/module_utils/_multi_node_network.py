# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connectivity from one node of a service to the others: routes, ports, clocks and RDMA devices."""

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

# Timeout for a port in seconds: on a cluster's network an answer takes milliseconds, and a dropped packet gets none.
REACH_SECONDS = 3.0
AT_ONCE = 32


def listen_for(address: str, ports: t.Sequence[int], seconds: float) -> list[int]:
    """Listen on the ports in a separate process that sends the time to each client; return the ports that are already in use.

    Raises OSError when the host does not have the address.
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
        # The child must not keep the module's output open: Ansible waits for its end.
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
    """End the listening process, of this run or of an interrupted one, so that the services can use the ports."""
    for pid in _host.network_probes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # It has ended already.


def tell_time(servers: t.Sequence[socket.socket], seconds: float) -> None:
    """Send the time to each client, for some seconds."""
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
                    continue  # The client has disconnected.


def each_once(peers: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return each node once, with all of its ports. Services may share nodes."""
    found: dict[str, dict[str, t.Any]] = {}
    for peer in peers:
        known = found.setdefault(peer["host"], {**peer, "ports": []})
        known["ports"] += [port for port in peer["ports"] if port not in known["ports"]]
    return list(found.values())


def look_at(address: str, ports: t.Sequence[int]) -> dict[str, t.Any]:
    """Return the route to another node, and which of its ports are closed."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = dict(zip(ports, pool.map(lambda port: reach(address, port), ports)))
    skews = [skew for _error, skew in answers.values() if skew is not None]
    return {
        **route(address),
        "closed": {str(port): error for port, (error, _skew) in answers.items() if error},
        # All measurements compare the same two clocks; the smallest skew has the smallest error.
        "skew": min(skews, key=abs) if skews else None,
    }


def reach(address: str, port: int) -> tuple[str, float | None]:
    """Connect to a port; return the error (empty on success), and by how many seconds the other clock is ahead, if the peer has sent its time."""
    began = time.time()
    try:
        with socket.create_connection((address, port), timeout=REACH_SECONDS) as connection:
            connection.settimeout(1.0)
            try:
                said = connection.makefile("rb").readline(64).split()
            except OSError:
                # A server that does not send first, such as Ray.
                said = []
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)) or type(error).__name__, None
    if len(said) == 2 and said[0] == b"inferops":
        return "", float(said[1]) - (began + time.time()) / 2
    return "", None


def route(address: str) -> dict[str, t.Any]:
    """Return interface, source address and MTU of the kernel's route to an address; empty values without a route."""
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
