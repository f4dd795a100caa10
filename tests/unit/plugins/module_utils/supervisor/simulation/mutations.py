# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors put into the supervisor on purpose, one at a time, each with the properties that have to find it: they show that the simulator can fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import admission, base, connection, leader, probe, process, state, worker

from .history import STEADY_SECONDS, History
from .incidents import Incident
from .world import MP, RAY

Patch = Callable[[pytest.MonkeyPatch], None]
RETURNS = "serves_again_within_the_bound"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """C(found_by) are properties of which one has to find it, C(kinds) the incidents that it needs (all, if empty), C(steady) for how long a service then
    has to serve, in seconds. C(history) returns one for a seed, where drawn ones seldom find it."""

    name: str
    patch: Patch
    found_by: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    steady: float = STEADY_SECONDS
    history: Callable[[int], History] | None = None


MUTATIONS: list[Mutation] = []


def mutation(
    *found_by: str, kinds: tuple[str, ...] = (), steady: float = STEADY_SECONDS, history: Callable[[int], History] | None = None,
) -> Callable[[Patch], Patch]:
    """Add a mutation."""
    def add(patch: Patch) -> Patch:
        MUTATIONS.append(Mutation(patch.__name__, patch, found_by, kinds, steady, history))
        return patch

    return add


def nothing(*_arguments: Any, **_options: Any) -> None:
    """Do nothing."""


@mutation("stops_keep_no_log", kinds=("unit_stopped", "unit_restarted"))
def an_end_is_not_announced(patch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped only closes its connection."""
    patch.setattr(worker.Worker, "announce_end", nothing)


@mutation("none_on_a_sick_gpu", kinds=("gpu_fails",))
def gpus_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(base.Supervisor, "look_at_gpus", lambda self: "")


@mutation("only_own_failures_count")
def others_failures_count(patch: pytest.MonkeyPatch) -> None:
    """The loss of a node counts as well."""
    wrapped = base.Ended.__init__

    def init(self: Any, reason: str, status: int = 1, count: bool = True, requested: bool = False) -> None:
        wrapped(self, reason, status, True, requested)

    patch.setattr(base.Ended, "__init__", init)


@mutation("failed_starts_back_off", kinds=("crashes", "program_exits"))
def no_back_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(base.Supervisor, "back_off", nothing)


@mutation("attempts_back_off", kinds=("cannot_start", "service_restarted"))
def only_started_programs_count(patch: pytest.MonkeyPatch) -> None:
    """A program that cannot be started is no failure."""
    wrapped = base.Supervisor.finish

    def finish(self: base.Supervisor, ended: base.Ended) -> int:
        self.was_attempted = self.process.was_started
        return wrapped(self, ended)

    patch.setattr(base.Supervisor, "finish", finish)


@mutation("systemd_ends_no_healthy_supervisor", kinds=("clock_jumps",), steady=200.0)
def the_watchdog_is_not_fed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(state.State, "feed_watchdog", nothing)


@mutation("systemd_ends_no_healthy_supervisor", history=lambda seed: History(MP, 1, seed, [
    Incident(10, "port_in_use", 0, 40.0), Incident(11, "supervisor_killed", 0), Incident(16, "unit_restarted", 0),
]))
def a_stop_waits_for_the_port(patch: pytest.MonkeyPatch) -> None:
    """The main thread sleeps until it can listen."""
    patch.setattr(leader.Leader, "pause", lambda self, seconds: base.time.sleep(seconds))


@mutation("never_two_generations", "ready_after_a_completion", RETURNS)
def a_second_generation_is_admitted(patch: pytest.MonkeyPatch) -> None:
    """A worker may join a generation that runs."""
    patch.setattr(leader.Leader, "refuse", lambda self, name: "")
    patch.setattr(leader.Leader, "end_for_restarted", nothing)


@mutation("never_two_generations", history=lambda seed: History(RAY, 2, seed, [Incident(1, "host_pauses", 1, 25.0)]))
def a_started_worker_joins_again(patch: pytest.MonkeyPatch) -> None:
    """It reconnects before its main thread has handled the start message of the lost connection."""
    wrapped = worker.Worker.__init__

    def init(self: worker.Worker, options: Any) -> None:
        wrapped(self, options)
        self.loss_handled.wait = nothing  # type: ignore[method-assign]

    patch.setattr(worker.Worker, "__init__", init)


@mutation("degraded_is_not_serving", "never_two_generations", RETURNS)
def the_lost_leader_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A worker goes on without its leader."""
    wrapped = worker.Worker.handle
    patch.setattr(worker.Worker, "handle", lambda self, event: None if event.kind == "lost" and self.was_started else wrapped(self, event))


@mutation("only_the_first_failure_is_kept", kinds=("crashes", "program_exits"))
def each_failure_is_kept(patch: pytest.MonkeyPatch) -> None:
    wrapped = state.State.keep_failure

    def keep(self: Any, *words: Any) -> str:
        self._saved["failure"] = ""
        return str(wrapped(self, *words))

    patch.setattr(state.State, "keep_failure", keep)


@mutation("logs_are_kept", kinds=("crashes", "program_exits"))
def the_log_is_overwritten(patch: pytest.MonkeyPatch) -> None:
    """All logs have the same name."""
    patch.setattr(state.State, "_new_folder", lambda self: self._failures + "/latest")


@mutation("no_secret_in_the_journal")
def the_token_is_printed(patch: pytest.MonkeyPatch) -> None:
    wrapped = base.Supervisor.start_program

    def start(self: base.Supervisor) -> None:
        state.print(f"environment: {self.process.environment}")  # type: ignore[attr-defined]
        state.print(f"options: {vars(self)}")  # type: ignore[attr-defined]
        wrapped(self)

    patch.setattr(base.Supervisor, "start_program", start)


@mutation("no_secret_on_the_network")
def the_token_is_sent(patch: pytest.MonkeyPatch) -> None:
    """The code of a message is the key itself."""
    patch.setattr(connection, "code", lambda key, *words: key.decode(errors="replace"))


@mutation("no_secret_in_a_status", "no_secret_in_the_journal", "no_secret_in_a_file")
def the_token_is_in_a_reason(patch: pytest.MonkeyPatch) -> None:
    wrapped = base.Supervisor.report
    patch.setattr(base.Supervisor, "report", lambda self, text: wrapped(self, text.replace("was lost", f"was lost with {self.token}")))


@mutation(RETURNS, "ready_after_a_completion")
def a_worker_sends_no_heartbeats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(worker.Worker, "send_heartbeat", nothing)


@mutation(RETURNS)
def the_leader_sends_no_heartbeats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leader.Leader, "send_heartbeat", nothing)


@mutation("ready_after_a_completion")
def health_is_a_completion(patch: pytest.MonkeyPatch) -> None:
    """The probe trusts /health, which a hanging engine answers as well."""
    patch.setattr(probe.Engine, "look", lambda self: (probe.WELL, ""))


@mutation(RETURNS)
def the_probe_ends_with_its_first_answer(patch: pytest.MonkeyPatch) -> None:
    wrapped = probe.Engine.look

    def look(self: Any) -> tuple[str, str]:
        if getattr(self, "has_answered", False):
            return probe.WELL, ""
        found = wrapped(self)
        self.has_answered = found[0] == probe.WELL
        return found

    patch.setattr(probe.Engine, "look", look)


@mutation(RETURNS, "status_0_only_on_request")
def a_failure_has_status_0(patch: pytest.MonkeyPatch) -> None:
    wrapped = base.Supervisor.finish
    patch.setattr(base.Supervisor, "finish", lambda self, ended: 0 * wrapped(self, ended))


@mutation("missing_nodes_are_named", kinds=("host_reboots", "unit_stopped"))
def only_one_missing_node_is_named(patch: pytest.MonkeyPatch) -> None:
    wrapped = leader.Leader.waiting_for
    patch.setattr(leader.Leader, "waiting_for", lambda self, missing: wrapped(self, missing[:1]))


@mutation(RETURNS, history=lambda seed: History(MP, 2, seed, [Incident(10, "unit_stopped", 1, 25.0), Incident(20, "strangers_hold_connections", 1, 3.0)]))
def connections_are_counted_for_ever(patch: pytest.MonkeyPatch) -> None:
    """The limit of connections that have not authenticated counts those that have ended."""
    patch.setattr(admission.Admission, "leave", nothing)


@mutation("one_plan", kinds=("plan_changes",))
def plans_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    wrapped = base.Supervisor.__init__

    def init(self: Any, options: Any) -> None:
        options.digest = "any"
        wrapped(self, options)

    patch.setattr(base.Supervisor, "__init__", init)


@mutation(RETURNS, kinds=("notify_refused", "service_restarted"))
def ready_is_notified_once(patch: pytest.MonkeyPatch) -> None:
    """READY=1 that systemd's socket refuses is lost."""
    wrapped = state.notify
    patch.setattr(state, "notify", lambda text: wrapped(text) or text == "READY=1")


@mutation("no_deadlock", RETURNS, "systemd_ends_no_healthy_supervisor", kinds=("ignores_sigterm", "service_restarted", "unit_restarted"))
def a_stop_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Without a timeout, a program that ignores SIGTERM holds up the end of its unit."""
    def stop(self: process.Process, seconds: float) -> None:
        del seconds
        found = self._process
        if found is not None and not self.ended.is_set():
            found.send_signal(15)
            self.ended.wait(None)

    patch.setattr(process.Process, "stop", stop)


@mutation("nothing_unexpected")
def a_missing_key_is_unexpected(patch: pytest.MonkeyPatch) -> None:
    """A message without a certain key raises what nothing catches."""
    patch.setattr(connection, "parse", lambda line: connection.json.loads(line)["nonce"] and connection.json.loads(line))


