# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What happens to a service from outside: each incident is a function of the world, the place, and how long it lasts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .modules import SICK_GPU
from .network import Endpoint
from .systemd import Unit
from .world import Host, LEADER_PORT, World

Act = Callable[[World, int, float], None]
KINDS: dict[str, Act] = {}
# Moments that an incident may wait for, so that it meets the short races: a program was started, the service serves, a supervisor has ended, …
MOMENTS = ("", "launched", "program_started", "ready", "supervisor_ended", "program_ended", "stop_requested")
# Kinds that are no failure of anything.
STOPS = frozenset({"unit_stopped", "unit_restarted", "service_restarted"})
# Seconds that it waits for one.
LONGEST_WAIT = 40.0


@dataclasses.dataclass(frozen=True)
class Incident:
    """Something that happens C(at) seconds after the first start, or C(delay) seconds after the first C(moment) from then on.

    C(where) selects the host or unit (modulo their number), C(seconds) is how long it lasts.
    """

    at: int
    kind: str
    where: int = 0
    seconds: float = 10.0
    moment: str = ""
    delay: float = 0.0

    def __repr__(self) -> str:
        after = f", moment={self.moment!r}, delay={self.delay}" if self.moment else ""
        return f"Incident({self.at}, {self.kind!r}, {self.where}, {self.seconds}{after})"


def incident(function: Act) -> Act:
    """Add a kind of incident."""
    KINDS[function.__name__] = function
    return function


def _host(world: World, where: int) -> Host:
    return world.hosts[where % len(world.hosts)]


def _unit(world: World, where: int) -> Unit:
    return world.units[where % len(world.units)]


def _pair(world: World, where: int) -> tuple[Host, Host]:
    """Two hosts, mostly the head and a worker."""
    hosts = world.hosts
    first = hosts[0] if where < 6 or len(hosts) < 3 else hosts[1]
    others = [host for host in hosts if host is not first]
    return first, others[where % len(others)]


# Programs


@incident
def supervisor_killed(world: World, where: int, seconds: float) -> None:
    """SIGKILL to a supervisor."""
    process = _unit(world, where).process
    if process is not None:
        process.kill()


@incident
def program_exits(world: World, where: int, seconds: float) -> None:
    """A supervised program ends, with a status of an error or of success."""
    program = _unit(world, where).program
    if program is not None:
        program.fail((1, 0, -9, -11)[int(seconds) % 4])


@incident
def rank_vanishes(world: World, where: int, seconds: float) -> None:
    program = _unit(world, where).program
    if program is not None:
        program.lose_rank()


@incident
def engine_hangs(world: World, where: int, seconds: float) -> None:
    """Its /health still answers 200."""
    if world.engine.program is not None:
        world.engine.program.hang()


@incident
def engine_answers_errors(world: World, where: int, seconds: float) -> None:
    if world.engine.program is not None:
        world.engine.program.break_down()


@incident
def output_closed(world: World, where: int, seconds: float) -> None:
    program = _unit(world, where).program
    if program is not None and program.alive:
        program.close_output()


def _trouble(name: str, text: str) -> None:
    def act(world: World, where: int, seconds: float) -> None:
        _host(world, where).give(name, seconds)

    act.__name__, act.__doc__ = name, text
    incident(act)


_trouble("slow", "The engine answers late, while it generates tokens.")
_trouble("never_ready", "A program that starts now never becomes ready.")
_trouble("crashes", "A program that starts now ends after a second or two.")
_trouble("wrong_arguments", "An engine or rank that starts now ends with status 2.")
_trouble("ignores_sigterm", "Programs ignore SIGTERM.")
_trouble("cannot_start", "No program can be started: no memory, no file.")
_trouble("check_fails", "The check of Ray's nodes ends with an error.")
_trouble("no_threads", "The system starts no further thread.")
_trouble("no_files", "accept(2) gets no file.")
_trouble("notify_refused", "systemd's socket takes nothing.")


@incident
def gpu_fails(world: World, where: int, seconds: float) -> None:
    """A GPU has to be reset: the programs of its host end, and one that starts before that ends as well."""
    host = _host(world, where)
    if not host.has(SICK_GPU):
        host.sick_since = world.scheduler.now
    host.give(SICK_GPU, seconds)
    for unit in host.units:
        if unit.program is not None:
            unit.program.fail(-6)


# Hosts


@incident
def host_reboots(world: World, where: int, seconds: float) -> None:
    """It loses power, and gets it back."""
    host = _host(world, where)
    host.crash()
    world.scheduler.after(seconds, host.boot)


@incident
def host_reboots_without_a_clock(world: World, where: int, seconds: float) -> None:
    """After its boot the wall clock is where it was when the history began."""
    host = _host(world, where)
    host.crash()

    def boot() -> None:
        host.clock_error = -world.scheduler.now
        host.boot()

    world.scheduler.after(seconds, boot)


@incident
def host_pauses(world: World, where: int, seconds: float) -> None:
    """No process of it runs for a time; its network stack does."""
    host = _host(world, where)
    for unit in host.units:
        if unit.process is not None and unit.process.alive:
            unit.process.frozen_until = world.scheduler.now + seconds
            world.emit("frozen", unit=unit)


@incident
def clock_jumps(world: World, where: int, seconds: float) -> None:
    _host(world, where).clock_error += (-3600.0, 86400.0, -seconds)[int(seconds) % 3]


@incident
def run_is_full(world: World, where: int, seconds: float) -> None:
    _host(world, where).disk.full_until["run"] = world.scheduler.now + seconds


@incident
def run_is_read_only(world: World, where: int, seconds: float) -> None:
    _host(world, where).disk.read_only_until["run"] = world.scheduler.now + seconds


@incident
def var_is_full(world: World, where: int, seconds: float) -> None:
    _host(world, where).disk.full_until["var"] = world.scheduler.now + seconds


@incident
def state_is_corrupt(world: World, where: int, seconds: float) -> None:
    unit = _unit(world, where)
    garbage = (b"", b"{", b"[1]", b'{"failed": "many", "missing": [], "served": 1, "failure": null}', b'{"failed": -3, "missing": {"x": 1}}', b"\xff\xfe")
    unit.host.disk.files[f"/run/{unit.name}/state.json"] = garbage[int(seconds) % len(garbage)]
    world.emit("state_lost", unit=unit)


# Network


@incident
def network_cut(world: World, where: int, seconds: float) -> None:
    """All packets between two hosts are dropped."""
    one, other = _pair(world, where)
    world.network.drop(one.address, other.address, seconds)
    world.network.drop(other.address, one.address, seconds)


@incident
def packets_to_worker_dropped(world: World, where: int, seconds: float) -> None:
    one, other = _pair(world, where)
    world.network.drop(one.address, other.address, seconds)


@incident
def packets_from_worker_dropped(world: World, where: int, seconds: float) -> None:
    one, other = _pair(world, where)
    world.network.drop(other.address, one.address, seconds)


@incident
def connections_reset(world: World, where: int, seconds: float) -> None:
    one, other = _pair(world, where)
    world.network.reset_between(one.address, other.address)


@incident
def network_slow(world: World, where: int, seconds: float) -> None:
    one, other = _pair(world, where)
    world.network.slow_down(one.address, other.address, 1.0 + where % 5, seconds)


@incident
def port_in_use(world: World, where: int, seconds: float) -> None:
    """Another program holds the leader's port when its next generation starts."""
    head = world.hosts[0]
    head.reserved.add(LEADER_PORT)
    world.scheduler.after(seconds, head.reserved.discard, LEADER_PORT)


# Strangers


def _stranger(world: World, where: int) -> Endpoint | None:
    """A connection to the leader by something that is no supervisor, from one of the hosts."""
    head, host = world.hosts[0], _host(world, where)
    # Each holds a thread of the leader until its time to authenticate is over.
    head.give("strangers", 60.0)
    listener = world.network.listeners.get((head.address, LEADER_PORT))
    if listener is None or not world.network.reaches(host, head) or not host.is_up:
        return None
    return world.network.pair(listener, host, None)


@incident
def stranger_sends_garbage(world: World, where: int, seconds: float) -> None:
    garbage = (
        b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 70000, b'{"nonce": "n", "name": "gpu1", "service": "big", "code": "\\u00e9"}\n', b"[" * 3000 + b"\n",
        b'{"service": "big", "name": ["gpu1"], "code": null}\n', b"",
    )
    for number in range(3):
        client = _stranger(world, where + number)
        if client is not None:
            client.sendall(garbage[(int(seconds) + number) % len(garbage)])
            client.close()


@incident
def stranger_trickles(world: World, where: int, seconds: float) -> None:
    """A byte each second."""
    client = _stranger(world, where)
    ends = world.scheduler.now + seconds

    def send() -> None:
        assert client is not None
        try:
            client.sendall(b"{")
        except OSError:
            return
        if world.scheduler.now < ends:
            world.scheduler.after(1.0, send)
        else:
            client.close()

    if client is not None:
        send()


@incident
def strangers_hold_connections(world: World, where: int, seconds: float) -> None:
    """Many connections that send nothing, from one host."""
    clients = [client for client in (_stranger(world, where) for _number in range(40)) if client is not None]
    for client in clients:
        world.scheduler.after(seconds, client.close)


# Operators


@incident
def unit_stopped(world: World, where: int, seconds: float) -> None:
    """An operator stops a unit, and starts it again."""
    unit = _unit(world, where)
    unit.stop()
    world.scheduler.after(seconds, unit.start)


@incident
def unit_restarted(world: World, where: int, seconds: float) -> None:
    _unit(world, where).restart()


@incident
def service_restarted(world: World, where: int, seconds: float) -> None:
    """All units at about the same time, as a run of site.yml does."""
    for number, unit in enumerate(world.units):
        world.scheduler.after(0.2 * ((number + where) % len(world.units)), unit.restart)


@incident
def plan_changes(world: World, where: int, seconds: float) -> None:
    """A new plan, on one host at once and on the others later."""
    digest = world.units[0].digest + "+"
    first = _host(world, where)

    def change(unit: Unit) -> None:
        if len(unit.digest) < len(digest):
            unit.digest = digest
            unit.restart()

    for unit in world.units:
        world.scheduler.after(0.0 if unit.host is first else seconds, change, unit)

