# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor: the main process of each unit of a service. The command to supervise follows C(--).

    supervisor single  of a service on one host
    supervisor leader  of a multi-node service, on its head: of Ray's head node with Ray, of rank 0 with mp
    supervisor worker  in every other unit of a multi-node service, including the unit of the engine beside Ray's head node

The environment variable SUPERVISOR_TOKEN has the token of a multi-node service. No other process gets it under that name.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import gpus, leader, single, worker

# The order in which the leader starts the units, by backend.
ORDERS = {"ray": ("self", "nodes", "check", "engine", "serve"), "mp": ("nodes", "self", "serving")}
# With an API on each node: none of them answers before all ranks have started.
TOGETHER = ("together", "serve")


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Return the options; C(command) is the program."""
    if "--" not in arguments:
        raise SystemExit("supervisor: the command to supervise is missing: -- PROGRAM ARGUMENT...")
    split = arguments.index("--")
    parser = argparse.ArgumentParser(prog="supervisor", allow_abbrev=False)
    parser.add_argument("role", choices=["single", "leader", "worker"])
    parser.add_argument("--service", required=True, help="name of the service")
    parser.add_argument("--name", required=True, help="name of this unit among those of the service: its node, or engine")
    parser.add_argument("--backend", choices=list(ORDERS), help="backend of a multi-node service")
    parser.add_argument("--apis", choices=["head", "all"], default="head", help="the nodes whose program is an engine with an API")
    parser.add_argument("--digest", help="checksum of the plan, the same in all units of the service")
    parser.add_argument("--port", type=int, help="port of the leader")
    parser.add_argument("--listen", help="address that the leader listens on")
    parser.add_argument("--leader-address", help="address at which a worker reaches the leader")
    parser.add_argument("--leader-name", help="node of the leader")
    parser.add_argument("--worker", action="append", default=[], help="a worker of the service")
    parser.add_argument("--what", default="the program", help="the program's name in messages")
    parser.add_argument("--ready-port", default="", help="ADDRESS:PORT that the program listens on once it is ready")
    parser.add_argument("--engine", default="", help="address of the engine's API, which the liveness probe queries")
    parser.add_argument("--model", default="", help="the model's name in the API")
    parser.add_argument("--task", default="auto", help="task of the engine, by which the liveness probe queries it (_task_checks.py)")
    parser.add_argument("--transport", default="", help="the transport that NCCL has to use: NET/IB or NET/Socket")
    parser.add_argument("--withhold", action="append", default=[], help="an environment variable that Ray does not copy to other nodes")
    parser.add_argument("--clean", action="append", default=[], help="a directory of this service alone that is emptied before each start")
    parser.add_argument("--logs", action="append", default=[], help="a directory whose log files are kept when the program fails")
    parser.add_argument("--failures", default="", help="directory for the logs of failures")
    parser.add_argument("--check", action="append", default=[], help="an argument of the command that waits until Ray has all nodes and GPUs")
    parser.add_argument("--gpus", choices=[gpus.NAMED, gpus.ALL], default=gpus.NAMED, help="the unit's GPUs where CUDA_VISIBLE_DEVICES does not name them")
    parser.add_argument("--accept-gpu", action="append", default=[], help="name of a finding about GPUs with which the program starts all the same")
    parser.add_argument("--heartbeat-timeout", type=float, default=20.0, help="seconds without a message after which a unit counts as lost")
    parser.add_argument("--join-timeout", type=float, default=600.0)
    parser.add_argument("--start-timeout", type=float, default=3600.0)
    parser.add_argument("--stop-timeout", type=float, default=90.0)
    parser.add_argument("--probe-interval", type=float, default=30.0)
    parser.add_argument("--probe-timeout", type=float, default=60.0)
    parser.add_argument("--liveness-timeout", type=float, default=300.0, help="seconds without a token after which a busy engine counts as dead")
    options = parser.parse_args(arguments[:split])
    options.command = arguments[split + 1:]
    if options.role == "single":
        return options
    if None in (options.backend, options.digest, options.port):
        parser.error(f"{options.role} needs --backend, --digest and --port")
    options.order = TOGETHER if options.apis == "all" else ORDERS[options.backend]
    options.wait_self = options.backend == "ray"
    return options


def main() -> int:
    """Run one generation of the service. systemd starts the next one."""
    options = read_options(sys.argv[1:])
    if options.role != "single" and not os.environ.get("SUPERVISOR_TOKEN"):
        print("supervisor: SUPERVISOR_TOKEN is not set: the unit's environment file has no token", file=sys.stderr)
        return 2
    roles = {"single": single.Single, "leader": leader.Leader, "worker": worker.Worker}
    status = roles[options.role](options).run()
    # Threads still wait in reads that will not return.
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
