# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Opens many short TCP connections to one port, as fast as they are taken; runs on a machine of the lab, see conntrack.py.

    python3 burst.py ADDRESS PORT CONNECTIONS

Prints JSON: how many brought an answer (V(made)), how many did not, by reason (V(failed)), the V(seconds) of all, and the longest
that one took (V(longest)).
"""

from __future__ import annotations

import collections
import errno
import json
import os
import select
import socket
import sys
import time

# Connections under way at once, and seconds that each has for its answer: SYNs that get lost are sent again after 1, 3 and 7.
AT_ONCE = 500
SECONDS = 10.0


def burst(address: str, port: int, count: int) -> dict[str, object]:
    """All of them: connect, read what the other side says, until it hangs up."""
    failed: collections.Counter[str] = collections.Counter()
    under_way: dict[int, tuple[socket.socket, float]] = {}
    poll = select.epoll()
    made = started = 0
    longest = 0.0
    began = time.monotonic()
    looked = began

    def end(handle: int, reason: str = "") -> None:
        nonlocal made, longest
        connection, since = under_way.pop(handle)
        connection.close()
        longest = max(longest, time.monotonic() - since)
        if reason:
            failed[reason] += 1
        else:
            made += 1

    while started < count or under_way:
        while started < count and len(under_way) < AT_ONCE:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            under_way[connection.fileno()] = (connection, time.monotonic())
            started += 1
            said = connection.connect_ex((address, port))
            if said in (0, errno.EINPROGRESS):
                poll.register(connection.fileno(), select.EPOLLIN)
            else:
                end(connection.fileno(), errno.errorcode[said])
        for handle, _event in poll.poll(0.1):
            try:
                answer = under_way[handle][0].recv(64)
            except OSError as error:
                end(handle, errno.errorcode.get(error.errno or 0, os.strerror(error.errno or 0)))
                continue
            end(handle, "" if answer else "no answer")
        now = time.monotonic()
        if now - looked > 0.5:
            looked = now
            for handle in [handle for handle, (_connection, since) in under_way.items() if now - since > SECONDS]:
                end(handle, "no answer in time")
    return {"made": made, "failed": dict(failed), "seconds": round(time.monotonic() - began, 2), "longest": round(longest, 2)}


print(json.dumps(burst(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
