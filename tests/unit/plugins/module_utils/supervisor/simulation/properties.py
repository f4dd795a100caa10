# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a multi-node service promises (docs/multi-node.md), whatever happens. Each property is a function that is called when something happens; it returns
what is wrong, or an empty text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import base
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor.connection import HANDSHAKE_SECONDS

from .modules import SICK_GPU
from .programs import Program
from .systemd import ACTIVE, RESTART_SECONDS, Unit
from .world import KEY, OPTIONS, TOKEN, World

Property = Callable[..., str]
PROPERTIES: dict[str, list[Property]] = {}

# Threads and sockets of one supervisor: its own, and one for each connection of a worker or a client that has not authenticated (128 at most).
MOST_THREADS = 8
MOST_SOCKETS = 8
# Seconds that programs need to start, and all that is in between.
START_SECONDS = 15.0
# Seconds that a status may be late: a heartbeat, and delays of a busy host.
LATE = 5.0


def on(kind: str) -> Callable[[Property], Property]:
    """Have a property checked when something of a kind happens."""
    def add(function: Property) -> Property:
        PROPERTIES.setdefault(kind, []).append(function)
        return function

    return add


class Facts:
    """What the properties remember of a history."""

    def __init__(self, only_stops: bool) -> None:
        # Whether nothing happens but stops and starts by an operator.
        self.only_stops = only_stops
        # Since when the leader does not serve.
        self.down_since: float | None = 0.0
        # Generations whose engine has answered a completion.
        self.completed: set[str] = set()
        # Failures in a row that a unit has reported as its own program's, by unit; and when it last ended.
        self.failures: dict[Unit, int] = {}
        self.counted: dict[Unit, int] = {}
        self.launched: dict[Unit, float] = {}
        self.could_not_start: set[Unit] = set()
        self.was_frozen: set[Unit] = set()
        self.log_until_served: dict[Unit, str] = {}
        self.ended_at: dict[str, float] = {}


# Generations


@on("program_started")
def never_two_generations(world: World, facts: Facts, program: Program) -> str:
    """No program starts while one of another generation of the service runs anywhere."""
    others = [other for other in world.running() if other is not program and other.generation != program.generation]
    return f"{named(program)} starts while {', '.join(map(named, others))} runs" if others else ""


@on("program_started")
def one_program_in_a_unit(world: World, facts: Facts, program: Program) -> str:
    """A unit supervises one program."""
    others = [other for other in world.running() if other is not program and other.unit is program.unit]
    return f"{named(program)} starts while {', '.join(map(named, others))} runs" if others else ""


@on("program_started")
def one_plan(world: World, facts: Facts, program: Program) -> str:
    """Programs of different plans never run at the same time."""
    others = [other for other in world.running() if other.digest != program.digest]
    return f"{named(program)} of plan {program.digest} starts while {', '.join(map(named, others))} of {others[0].digest} runs" if others else ""


@on("program_started")
def none_on_a_sick_gpu(world: World, facts: Facts, program: Program) -> str:
    """No program starts on a host whose GPU must not be used. A supervisor may have looked at it some seconds earlier."""
    host = program.unit.host
    seconds = world.scheduler.now - host.sick_since
    return f"{named(program)} starts {seconds:.0f} s after its GPU has failed" if host.has(SICK_GPU) and seconds > base.GPU_FRESH_SECONDS + LATE else ""


# Status


@on("notified")
def ready_after_a_completion(world: World, facts: Facts, unit: Unit, text: str) -> str:
    """A unit is ready only after a completion of the engine of its own generation."""
    if text != "READY=1":
        return ""
    generation = generation_of(unit)
    return "" if generation in facts.completed else f"{unit.node} is ready without a completion of generation {generation}"


@on("second")
def degraded_is_not_serving(world: World, facts: Facts) -> str:
    """When the leader does not serve, no other unit reports "serving" for longer than the heartbeat timeout, the time to stop a program, and some delay."""
    if facts.down_since is None:
        return ""
    bound = OPTIONS["heartbeat_timeout"] + base.LAST_WORDS_SECONDS + LATE
    if world.scheduler.now - facts.down_since <= bound:
        return ""
    late = [unit.node for unit in world.units if unit.state == ACTIVE and unit.status.startswith("serving") and unit not in facts.was_frozen]
    return f"{', '.join(late)} still reports serving {bound:.0f} s after the leader has ended" if late else ""


@on("second")
def missing_nodes_are_named(world: World, facts: Facts) -> str:
    """While the leader waits for workers, its status names each whose unit does not run."""
    leader = world.leader
    if not is_running(leader) or not leader.status.startswith(("degraded", "starting: waiting for node", "starting: waiting for the engine")):
        return ""
    if leader in facts.was_frozen or world.scheduler.now - facts.launched.get(leader, 0.0) < OPTIONS["heartbeat_timeout"] + LATE:
        return ""
    gone = [unit for unit in world.units if unit is not leader and not is_running(unit)]
    unnamed = [unit.node for unit in gone if not re.search(rf"\b{unit.node}\b", leader.status)]
    late = [name for name in unnamed if world.scheduler.now - facts.ended_at.get(name, 0.0) > OPTIONS["heartbeat_timeout"] + LATE]
    return f"the leader's status does not name {', '.join(late)}: {leader.status}" if late else ""


# Failures


@on("written")
def logs_are_kept(world: World, facts: Facts, host: Any, path: str, before: bytes | None, after: bytes) -> str:
    """The log of a failure is never overwritten."""
    return f"{path} is overwritten" if path.endswith("output.log") and before and before != after else ""


@on("written")
def only_the_first_failure_is_kept(world: World, facts: Facts, host: Any, path: str, before: bytes | None, after: bytes) -> str:
    """A unit keeps no second log until the service has served."""
    if not path.endswith("output.log"):
        return ""
    unit = next(unit for unit in host.units if f"/{unit.name}/" in path)
    first = facts.log_until_served.setdefault(unit, path)
    return f"{path} is kept, and {first} was the first" if first != path else ""


@on("written")
def stops_keep_no_log(world: World, facts: Facts, host: Any, path: str, before: bytes | None, after: bytes) -> str:
    """A stop that an operator requests is no failure: nothing else has happened, so no unit keeps a log."""
    return f"{path}: {after.decode(errors='replace').splitlines()[0]}" if path.endswith("output.log") and facts.only_stops else ""


@on("supervisor_ended")
def only_own_failures_count(world: World, facts: Facts, unit: Unit, status: int) -> str:
    """A unit counts a failure only when its own program has failed, so that it does not back off for another node's."""
    supervisor = unit.supervisor
    if supervisor is None:
        return ""
    before = facts.counted.get(unit, 0)
    facts.counted[unit] = supervisor.state.failed
    if supervisor.state.failed <= before or unit in facts.could_not_start or unit in facts.was_frozen:
        return ""
    program = unit.program
    if program is None:
        return f"{unit.node} counts a failure without a program: {unit.status}"
    own = f"failed: {supervisor.what} "
    # An engine whose ranks do not reach each other is dead as well, and its supervisor cannot know why.
    if unit.status.startswith(f"{own}is dead: ") or (unit.status.startswith(f"{own}was not ready after ") and not program.is_ready):
        return ""
    if program.failed or unit.check_failed or any(other.failed for other in program.group):
        return ""
    return f"{unit.node} counts a failure of its program, which has not failed: {unit.status}"


@on("program_started")
def failed_starts_back_off(world: World, facts: Facts, program: Program) -> str:
    """From the third attempt on, a unit whose own program fails waits 2.5 s times two to the power of the failures in a row, 300 s at most."""
    return too_early(world, facts, program.unit)


@on("could_not_start")
def attempts_back_off(world: World, facts: Facts, unit: Unit) -> str:
    """The same for a program that cannot even be started."""
    return too_early(world, facts, unit)


# Ends


@on("supervisor_ended")
def status_0_only_on_request(world: World, facts: Facts, unit: Unit, status: int) -> str:
    """A supervisor ends successfully only when somebody stops it."""
    return f"{unit.node} ends with status 0: {unit.status}" if status == 0 and not unit.stop_requested else ""


@on("timed_out")
def systemd_ends_no_healthy_supervisor(world: World, facts: Facts, unit: Unit, what: str) -> str:
    """Watchdog, start and stop timeout end no supervisor that is not itself stopped."""
    return "" if unit in facts.was_frozen else f"{unit.node} exceeds systemd's {what} timeout: {unit.status}"


@on("journal")
def nothing_unexpected(world: World, facts: Facts, process: Any, text: str) -> str:
    """No exception that the supervisor does not expect, and no thread of it that fails, whatever happens outside of it."""
    if text.startswith("Traceback") and process.unit not in facts.could_not_start and not process.host.has("no_threads"):
        return f"{process.unit.node}: {text}"
    if "the supervisor's thread" in text or "the supervisor itself" in text:
        unit = next((unit for unit in world.units if f"node {unit.node}: " in text), process.unit)
        allowed = facts.could_not_start | facts.was_frozen | {unit for unit in world.units if unit.host.has("no_threads")}
        return "" if unit in allowed or allowed else f"{process.unit.node}: {text}"
    return ""


# Secrets


@on("sent")
def no_secret_on_the_network(world: World, facts: Facts, data: bytes) -> str:
    """Token and API key are never sent."""
    return f"sent: {data!r}" if TOKEN.encode() in data or KEY.encode() in data else ""


@on("journal")
def no_secret_in_the_journal(world: World, facts: Facts, process: Any, text: str) -> str:
    """Token and API key are in no line of the journal."""
    return f"in the journal: {text}" if TOKEN in text or KEY in text else ""


@on("notified")
def no_secret_in_a_status(world: World, facts: Facts, unit: Unit, text: str) -> str:
    """Token and API key are in no status."""
    return f"in the status: {text}" if TOKEN in text or KEY in text else ""


@on("written")
def no_secret_in_a_file(world: World, facts: Facts, host: Any, path: str, before: bytes | None, after: bytes) -> str:
    """Token and API key are in no file."""
    return f"in {path}" if TOKEN.encode() in after or KEY.encode() in after else ""


# Resources


@on("second")
def nothing_leaks(world: World, facts: Facts) -> str:
    """Threads and sockets of a supervisor are bounded, however long it runs."""
    connections = len(world.units) - 1
    for unit in world.units:
        process = unit.process
        if process is None or not process.alive or process.host.has("strangers"):
            continue
        if len(process.threads) > MOST_THREADS + 2 * connections:
            return f"{unit.node} has {len(process.threads)} threads"
        if len(process.files) > MOST_SOCKETS + 2 * connections:
            return f"{unit.node} has {len(process.files)} sockets"
    return ""


@on("second")
def no_deadlock(world: World, facts: Facts) -> str:
    """The main thread, which alone ends a generation, never waits without a timeout."""
    for unit in world.units:
        process = unit.process
        if process is not None and process.alive and process.main is not None and process.main.is_blocked and process.main.deadline is None and (
            process.main.ticket > 1
        ):
            return f"the main thread of {unit.node} waits for ever"
    return ""


def too_early(world: World, facts: Facts, unit: Unit) -> str:
    """What is wrong with the time of a start; empty when it is late enough."""
    failures = facts.failures.get(unit, 0)
    waited = world.scheduler.now - facts.launched[unit]
    wanted = min(base.MAX_BACKOFF_SECONDS, 2.5 * 2 ** failures) if failures > 1 else 0.0
    return f"{unit.node} starts after {waited:.0f} s, and after {failures} failures {wanted:.0f} s are due" if waited < wanted else ""


def named(program: Program) -> str:
    """A program in messages."""
    return f"{program.unit.node}'s {program.kind} (generation {program.generation[:4] or 'none'})"


def generation_of(unit: Unit) -> str:
    """The generation that a unit belongs to."""
    found = unit.supervisor.generation if unit.is_head else unit.supervisor.joined
    return str(found)


def remember(world: World, facts: Facts, kind: str, **values: Any) -> None:
    """Keep what properties need later; called after them."""
    now = world.scheduler.now
    if kind in ("supervisor_ended", "crashed") and not is_running(world.leader) and facts.down_since is None:
        facts.down_since = now
    if kind == "journal" and values["text"].startswith("serving on "):
        unit = values["process"].unit
        if unit.is_head:
            facts.down_since = None
        facts.failures[unit] = facts.counted[unit] = 0
        facts.log_until_served.pop(unit, None)
    elif kind == "completion":
        facts.completed.add(values["program"].generation)
    elif kind == "launched":
        facts.launched[values["unit"]] = now
        facts.could_not_start.discard(values["unit"])
        facts.was_frozen.discard(values["unit"])
    elif kind == "frozen":
        facts.was_frozen.add(values["unit"])
    elif kind == "state_lost":
        forget(facts, values["unit"])
    elif kind == "could_not_start":
        facts.could_not_start.add(values["unit"])
    elif kind == "supervisor_ended":
        unit = values["unit"]
        facts.ended_at[unit.node] = now
        if unit.status.startswith(f"failed: {unit.supervisor.what if unit.supervisor else '-'} ") and not knows_nothing(unit):
            facts.failures[unit] = facts.failures.get(unit, 0) + 1
        elif knows_nothing(unit):
            forget(facts, unit)
    elif kind == "crashed":
        for unit in values["host"].units:
            facts.ended_at[unit.node] = now
            forget(facts, unit)


def is_running(unit: Unit) -> bool:
    """Whether a unit's supervisor runs."""
    return unit.process is not None and bool(unit.process.alive)


def knows_nothing(unit: Unit) -> bool:
    """Whether a unit cannot save its state, or has lost it."""
    text = unit.host.disk.read_text(f"/run/{unit.name}/state.json")
    try:
        saved = json.loads(text)
    except ValueError:
        return True
    if unit.supervisor is None or not isinstance(saved, dict):
        return True
    return any(saved.get(name) != unit.supervisor.state._saved[name] for name in ("failed", "failure"))


def forget(facts: Facts, unit: Unit) -> None:
    """A unit's saved state is lost: it knows of no failure, and may keep another log."""
    facts.failures.pop(unit, None)
    facts.counted.pop(unit, None)
    facts.log_until_served.pop(unit, None)


def seconds_to_serve(failures: int) -> float:
    """The bound within which a service serves again once nothing external is wrong, in seconds.

    What was started before may still have to be found out, at the latest by the longest of the timeouts: of the heartbeat, the start, or the liveness probe
    with two requests of its own. Then all programs are stopped and systemd restarts the units, which back off for up to C(failures) failures. Until the
    leader and the workers have found each other a handshake may expire, and the start itself takes some seconds.
    """
    find = max(OPTIONS["heartbeat_timeout"], OPTIONS["start_timeout"], OPTIONS["liveness_timeout"] + 2 * OPTIONS["probe_timeout"] + OPTIONS["probe_interval"])
    stop = OPTIONS["stop_timeout"] + 10.0 + RESTART_SECONDS
    back_off = min(base.MAX_BACKOFF_SECONDS, 2.5 * 2 ** failures) if failures > 1 else 0.0
    join_and_start = HANDSHAKE_SECONDS + START_SECONDS
    return find + stop + back_off + join_and_start
