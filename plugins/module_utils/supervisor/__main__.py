# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one part of a service over several hosts, as the main process of its unit. What follows C(--) is the part's program.

    span.py hub     on the head: with Ray beside Ray's head, with mp beside rank 0
    span.py member  everywhere else, and beside the engine on Ray's head

The service's token comes in the environment (SPAN_TOKEN) and goes nowhere else.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import leader, worker

# The order in which the hub starts the parts, by backend.
ORDERS = {"ray": ("self", "nodes", "check", "engine", "serve"), "mp": ("nodes", "self", "serving")}


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Return the options; C(command) is the program."""
    if "--" not in arguments:
        raise SystemExit("span.py: the program is missing: -- PROGRAM ARGUMENT...")
    split = arguments.index("--")
    parser = argparse.ArgumentParser(prog="span.py", allow_abbrev=False)
    parser.add_argument("part", choices=["hub", "member"])
    parser.add_argument("--span", required=True, help="name of the service")
    parser.add_argument("--name", required=True, help="name of this part")
    parser.add_argument("--backend", choices=list(ORDERS), required=True)
    parser.add_argument("--digest", required=True, help="what all parts have to have alike")
    parser.add_argument("--port", type=int, required=True, help="the hub's port")
    parser.add_argument("--listen", help="the hub's own address")
    parser.add_argument("--hub-address", help="where a member finds the hub")
    parser.add_argument("--hub-name", help="the hub's node")
    parser.add_argument("--member", action="append", default=[], help="another part that belongs to the service")
    parser.add_argument("--what", default="the program", help="the program's name for people")
    parser.add_argument("--ready-port", default="", help="ADDRESS:PORT at which the program answers when it is ready")
    parser.add_argument("--engine", default="", help="address of the engine's API, to be asked for completions")
    parser.add_argument("--model", default="", help="the model's name in the API")
    parser.add_argument("--task", default="auto", help="what the engine is there for, and so asked for (task_checks.py)")
    parser.add_argument("--transport", default="", help="what NCCL is expected to use: NET/IB or NET/Socket")
    parser.add_argument("--withhold", action="append", default=[], help="a variable that Ray's other nodes are not to get")
    parser.add_argument("--clean", action="append", default=[], help="a folder of this service alone that each life begins without")
    parser.add_argument("--logs", action="append", default=[], help="a folder whose log files are kept with a failure")
    parser.add_argument("--failures", default="", help="where the logs of failures are kept")
    parser.add_argument("--check", action="append", default=[], help="a word of the command that tells when Ray has all nodes and GPUs")
    parser.add_argument("--silence", type=float, default=20.0, help="seconds without a word after which a part is lost")
    parser.add_argument("--join-timeout", type=float, default=600.0)
    parser.add_argument("--start-timeout", type=float, default=3600.0)
    parser.add_argument("--stop-timeout", type=float, default=90.0)
    parser.add_argument("--probe-interval", type=float, default=30.0)
    parser.add_argument("--probe-timeout", type=float, default=60.0)
    parser.add_argument("--patience", type=float, default=300.0)
    options = parser.parse_args(arguments[:split])
    options.command = arguments[split + 1:]
    options.order = ORDERS[options.backend]
    options.wait_self = options.backend == "ray"
    return options


def main() -> int:
    """Live one life; the next one is systemd's to begin."""
    options = read_options(sys.argv[1:])
    if not os.environ.get("SPAN_TOKEN"):
        print("span.py: SPAN_TOKEN is not set: the environment file of the unit has no token", file=sys.stderr)
        return 2
    part = leader.Hub(options) if options.part == "hub" else worker.Member(options)
    status = part.run()
    # Threads still wait in reads that nobody will answer.
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
