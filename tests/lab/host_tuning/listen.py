#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers every TCP connection to some ports with three bytes, over IPv4 and IPv6: listen.py PORT..."""

from __future__ import annotations

import asyncio
import sys


async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says so and hangs up."""
    try:
        writer.write(b"ok\n")
        await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


async def main(ports: list[int]) -> None:
    """Serves until it is stopped."""
    # A long queue: a burst is to be measured by what the firewall lets through, not by how quickly this one takes it.
    servers = [await asyncio.start_server(answer, host=None, port=port, backlog=65535) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main([int(word) for word in sys.argv[1:]]))
