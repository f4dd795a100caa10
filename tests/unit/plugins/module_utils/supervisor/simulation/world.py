# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One multi-node service: its hosts, their units, the network between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import leader, main, worker

from . import programs
from .disk import Disk
from .modules import current
from .network import Network
from .programs import CHECK, ENGINE, RANK, RAY_HEAD, RAY_WORKER, Program
from .scheduler import Scheduler
from .systemd import ACTIVE, Unit

TOKEN, KEY = "7c9e-token-that-nobody-may-see", "51af-key-that-nobody-may-see"
MP, RAY = "mp", "ray"
SERVICE = "big"
LEADER_PORT = 6380
# Seconds. Shorter than the defaults of the roles, in the same order: a history is then shorter too.
OPTIONS = {
    "heartbeat_timeout": 20.0, "join_timeout": 320.0, "start_timeout": 60.0, "stop_timeout": 10.0,
    "probe_interval": 10.0, "probe_timeout": 10.0, "liveness_timeout": 30.0,
}
WHAT = {RAY_HEAD: "Ray's head", RAY_WORKER: "Ray's worker", ENGINE: "the engine", RANK: "a rank"}


class Host:
    """A machine. C(processes) is its /proc: the fields of stat, and the title, by PID."""

    def __init__(self, world: World, name: str, address: str) -> None:
        self.world = world
        self.name = name
        self.address = address
        self.is_up = True
        # Counts its boots; what was scheduled for an earlier one is void.
        self.boots = 1
        self.disk = Disk(lambda: world.scheduler.now, lambda kind, **facts: world.emit(kind, host=self, **facts))
        self.reserved: set[int] = set()
        # Error of the wall clock in seconds.
        self.clock_error = 0.0
        self.processes: dict[int, tuple[list[str], str]] = {}
        # Since when its GPU must not be used, while it has that trouble.
        self.sick_since = 0.0
        self._has_until: dict[str, float] = {}

    def has(self, trouble: str) -> bool:
        """Whether it has some trouble now."""
        return bool(self._has_until) and self._has_until.get(trouble, 0.0) > self.world.scheduler.now

    def give(self, trouble: str, seconds: float) -> None:
        """Have it have some trouble for a time."""
        self._has_until[trouble] = self.world.scheduler.now + seconds

    def heal(self) -> None:
        """End all its troubles."""
        self._has_until.clear()
        self.reserved.clear()
        self.disk.full_until.clear()
        self.disk.read_only_until.clear()

    def add_process(self, pid: int, parent: int, title: str) -> None:
        """Add a process to /proc."""
        stat = ["S", str(parent), *["0"] * 17, str(int(100 * self.world.scheduler.now))]
        self.processes[pid] = (stat, title)

    @property
    def units(self) -> list[Unit]:
        return [unit for unit in self.world.units if unit.host is self]

    def crash(self) -> None:
        """Lose power."""
        if self.is_up:
            self.is_up = False
            self.boots += 1
            for unit in self.units:
                unit.crash()
            self.world.network.crash(self)
            self.processes.clear()
            self.disk.lose("run")
            self.world.emit("crashed", host=self)

    def boot(self) -> None:
        """Get power again; systemd starts the enabled units."""
        if not self.is_up:
            self.is_up = True
            for unit in self.units:
                if unit.is_wanted:
                    unit.start()


class World:
    """The service on its hosts, at one moment. C(observe) is called with everything that happens."""

    def __init__(self, backend: str, workers: int, seed: int, observe: Callable[..., None]) -> None:
        self.scheduler = Scheduler(seed)
        self.random = self.scheduler.random
        self.backend = backend
        self.emit = observe
        # The process whose signal handler runs.
        self.acting: Any = None
        self.network = Network(self.scheduler, observe)
        names = ["head", *(f"gpu{number}" for number in range(1, workers + 1))]
        self.hosts = [Host(self, name, f"10.0.0.{number}") for number, name in enumerate(names, 1)]
        self.network.hosts = {host.address: host for host in self.hosts}
        self.units: list[Unit] = []
        for host in self.hosts:
            is_head = host is self.hosts[0]
            if backend == MP:
                self._add(host, f"vllm-{SERVICE}", host.name, is_head)
            else:
                self._add(host, f"ray-{'head' if is_head else 'worker'}-{SERVICE}", host.name, is_head)
        if backend == RAY:
            self._add(self.hosts[0], f"vllm-{SERVICE}", "engine", False)
        self.leader = self.units[0]
        self.engine = self.units[-1] if backend == RAY else self.units[0]

    def _add(self, host: Host, name: str, node: str, is_head: bool) -> None:
        self.units.append(Unit(self, host, name, node, is_head, run_supervisor))

    # What a unit file has

    def kind(self, unit: Unit) -> str:
        """The kind of a unit's program."""
        if self.backend == MP:
            return RANK
        return RAY_HEAD if unit.is_head else ENGINE if unit.node == "engine" else RAY_WORKER

    def environ(self, unit: Unit) -> dict[str, str]:
        """Environment of its main process."""
        return {
            "SUPERVISOR_TOKEN": TOKEN, "RUNTIME_DIRECTORY": f"/run/{unit.name}", "NOTIFY_SOCKET": "/run/systemd/notify", "VLLM_API_KEY": KEY,
            **({"RAY_AUTH_MODE": "token"} if self.backend == RAY else {}),
        }

    def arguments(self, unit: Unit) -> list[str]:
        """Arguments of its main process, as plan/placement/node_units.py has them."""
        kind, head = self.kind(unit), self.hosts[0]
        words = [
            "leader" if unit.is_head else "worker", f"--service={SERVICE}", f"--name={unit.node}", f"--backend={self.backend}", f"--digest={unit.digest}",
            f"--port={LEADER_PORT}", f"--what={WHAT[kind]}", f"--failures=/var/failures/{unit.name}",
            *(f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()),
        ]
        if unit.is_head:
            words += [f"--listen={head.address}", *(f"--worker={other.node}" for other in self.units if other is not unit)]
        else:
            words += [f"--leader-address={head.address}", f"--leader-name={head.name}"]
        if kind in programs.PORTS:
            words.append(f"--ready-port={unit.host.address}:{programs.PORTS[kind]}")
        if kind == RAY_HEAD:
            words.append(f"--check={CHECK}")
        if kind == ENGINE or (kind == RANK and unit.is_head):
            words += ["--engine=http://127.0.0.1:8000", "--model=m"]
        return [*words, "--", kind]

    # What runs

    def start_program(self, unit: Unit, command: list[str]) -> Program:
        """Start a program of a unit. Raises OSError."""
        found = unit.supervisor
        generation = found.generation if unit.is_head else found.joined
        program = programs.start(unit, command, generation)
        if program.kind != CHECK:
            unit.program = program
            self.emit("program_started", program=program)
        unit.programs.append(program)
        return program

    def running(self) -> list[Program]:
        """All programs that run, on all hosts."""
        return [program for unit in self.units for program in unit.programs if program.alive and program.kind != CHECK]

    def group_of(self, program: Program) -> list[Program] | None:
        """The programs that an engine needs, or None while one of them is missing."""
        others = [unit.program for unit in self.units if unit.program is not program]
        found = [other for other in others if other is not None and other.alive and other.is_ready]
        hosts = [program.host, *(other.host for other in found)]
        return found if len(found) == len(self.units) - 1 and self.are_connected(hosts) else None

    def missing_in_ray(self) -> list[str]:
        """The nodes that Ray's head does not have."""
        return [
            unit.node for unit in self.units if self.kind(unit) in programs.PORTS
            and not (unit.program is not None and unit.program.alive and unit.program.is_ready and self.are_connected([self.hosts[0], unit.host]))
        ]

    def are_connected(self, hosts: Iterable[Host]) -> bool:
        """Whether all of these reach each other."""
        if not self.network.dropped_until:
            return all(host.is_up for host in hosts)
        found = set(hosts)
        return all(self.network.reaches(one, other) for one in found for other in found)

    def serves(self) -> bool:
        """Whether every unit is active and reports that the service serves, and the engine works."""
        return all(unit.state == ACTIVE and unit.status.startswith("serving") for unit in self.units) and (
            self.engine.program is not None and self.engine.program.works() and not self.engine.program.errors
        )

    def start(self) -> None:
        """Start all units, and systemd's timeouts."""
        for unit in self.units:
            unit.start()
        self._look()

    def _look(self) -> None:
        for unit in self.units:
            unit.look()
        self.emit("second")
        self.scheduler.after(1.0, self._look)

    def heal(self) -> None:
        """Make well everything that is not the supervisor's: hosts, network, disks, the plan of all nodes; start stopped units."""
        self.network.heal()
        for host in self.hosts:
            host.heal()
            host.boot()
        newest = max((unit.digest for unit in self.units), key=lambda digest: (len(digest), digest))
        for unit in self.units:
            if unit.digest != newest:
                unit.digest = newest
                unit.restart()
            else:
                unit.start()


class ObservedLeader(leader.Leader):
    """The leader, found by its unit."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        current().unit.supervisor = self


class ObservedWorker(worker.Worker):
    """The worker, found by its unit. C(joined) is the generation that had it start its program."""

    joined = ""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        current().unit.supervisor = self

    def receive(self, message: Any) -> None:
        if message.get("start") is True and self.connection is not None:
            self.joined = self.connection.generation
        super().receive(message)


OBSERVED = {"leader": SimpleNamespace(Leader=ObservedLeader), "worker": SimpleNamespace(Worker=ObservedWorker)}


def run_supervisor() -> None:
    """Run the product's C(main) with the two classes above."""
    main.main()
