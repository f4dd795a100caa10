# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries a TCP connection to every port of an address, and prints what became of it; runs on a machine of the lab, see reach.py.

    python3 scan.py ADDRESS [FIRST-LAST]

Prints JSON: V(open), the ports that took the connection; V(refused), those that said no at once; V(rejected), those for which
something on the way said no; V(silent), those that never answered.
"""

from __future__ import annotations

import collections
import errno
import ipaddress
import json
import resource
import select
import socket
import sys
import time

# Connections under way at once, and seconds that each has. A SYN is sent again after one second, so each has two tries.
AT_ONCE = 12000
SECONDS = 1.5
ANSWERS = {0: "open", errno.ECONNREFUSED: "refused", **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM), "rejected")}


def scan(address: str, ports: list[int]) -> dict[str, list[int]]:
    """All of them, by answer. An error that none of the answers is made of ends the scan."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found: dict[str, list[int]] = {"open": [], "refused": [], "rejected": [], "silent": []}
    under_way: dict[int, tuple[int, socket.socket]] = {}
    # In the order in which they began, which is that in which their time is up.
    deadlines: collections.deque[tuple[float, int, int]] = collections.deque()
    poll = select.epoll()
    waiting = collections.deque(ports)

    def end(handle: int, answer: str) -> None:
        port, connection = under_way.pop(handle)
        found[answer].append(port)
        connection.close()

    while waiting or under_way:
        for _ in range(min(len(waiting), AT_ONCE - len(under_way), 500)):
            port = waiting.popleft()
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            handle = connection.fileno()
            under_way[handle] = (port, connection)
            said = connection.connect_ex((address, port))
            if said == errno.EINPROGRESS:
                poll.register(handle, select.EPOLLOUT)
                deadlines.append((time.monotonic() + SECONDS, port, handle))
            else:
                end(handle, ANSWERS[said])
        for handle, _event in poll.poll(0 if waiting and len(under_way) < AT_ONCE else 0.05):
            end(handle, ANSWERS[under_way[handle][1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
        while deadlines and deadlines[0][0] < time.monotonic():
            _time, port, handle = deadlines.popleft()
            # The handle may be another port's by now.
            if handle in under_way and under_way[handle][0] == port:
                end(handle, "silent")
    return {answer: sorted(ports) for answer, ports in found.items()}


def main() -> None:
    """Only into private networks: a lab's."""
    address = sys.argv[1]
    first, _dash, last = (sys.argv[2] if len(sys.argv) > 2 else "1-65535").partition("-")
    if not ipaddress.ip_address(address).is_private:
        raise SystemExit(f"{address} is not a lab's address")
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (AT_ONCE + 100, hard))
    print(json.dumps(scan(address, list(range(int(first), int(last or first) + 1)))))


main()
