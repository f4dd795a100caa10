# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain a service before its unit stops, whoever stops it: a run, an operator, a reboot. The unit runs this as root.

    drain close --unit=UNIT --engine=URL --timeout=SECONDS    (ExecStop) closes the port to new connections, and waits for running requests
    drain open  --unit=UNIT --engine=URL                      (ExecStartPre, ExecStopPost) opens the port

The temporary unit of a blue/green update has --redirected: new connections to the service's port may be redirected to it. Both actions end that first, so
that clients reach the service again.

A failure of the packet filter is reported and stops nothing: the engine itself then rejects new requests while it shuts down.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import urllib.parse

from .. import _openai_api, _systemd
from . import idle, port as filtered, redirect

# The supervisor's status of an engine that hangs (supervisor/probe.py).
HANGS = "not answering since"


def runs(unit: str) -> bool:
    """Whether the unit still has a main process, and the supervisor has not found that its engine hangs."""
    found = _systemd.show(unit, "MainPID", "StatusText")
    return found["MainPID"] not in ("", "0") and HANGS not in found["StatusText"]


def drain(unit: str, url: str, seconds: float) -> None:
    """Close the port, and wait until no request runs."""
    try:
        if not runs(unit):
            return
    except (RuntimeError, OSError) as error:
        print(f"drain: {error}", file=sys.stderr, flush=True)
        return
    api = _openai_api.Api(url, "", idle.ANSWER_SECONDS, _openai_api.Trust(verify=False))
    report(filtered.close(unit, api.port, api.host))
    began = time.monotonic()
    left = idle.wait(lambda: idle.read(api, api.port), lambda: runs(unit), seconds)
    print(f"drain: {left or 'no request is left'} (waited {time.monotonic() - began:.1f} s)", flush=True)


def end_redirect(unit: str, stopped: bool) -> None:
    """Let new connections reach the service's own unit again; those to this unit continue until it has stopped."""
    if os.geteuid() != 0:
        return
    for error in [*redirect.switch_back(unit), *(redirect.release(unit) if stopped else [])]:
        print(f"drain: connections are still redirected: {error}", file=sys.stderr, flush=True)


def report(errors: list[str]) -> None:
    """Print errors to the journal."""
    for error in errors:
        print(f"drain: the port is not closed to new connections: {error}", file=sys.stderr, flush=True)


def main() -> int:
    """Return 0 always: a service that cannot be drained has to stop nevertheless."""
    parser = argparse.ArgumentParser(prog="drain", allow_abbrev=False)
    parser.add_argument("action", choices=["close", "open"])
    parser.add_argument("--unit", required=True)
    parser.add_argument("--engine", required=True, help="URL of the engine's API on this host")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that running requests get at most")
    parser.add_argument("--redirected", action="store_true", help="new connections of another port may be redirected to this unit")
    given = parser.parse_args()
    if given.redirected:
        end_redirect(given.unit, given.action == "open")
    if given.action == "close":
        drain(given.unit, given.engine, given.timeout)
        return 0
    parts = urllib.parse.urlsplit(given.engine)
    for error in filtered.open_again(given.unit, parts.port or 0, parts.hostname or "") if os.geteuid() == 0 else []:
        print(f"drain: {error}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
