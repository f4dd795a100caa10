# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The supervisors of a multi-node service keep their promises in generated histories, in virtual time; `make fuzz` runs FUZZ times as many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from simulation import modules, systemd
from simulation.history import History, Result, Run, drawn, histories
from simulation.incidents import KINDS, Incident
from simulation.mutations import MUTATIONS, Mutation
from simulation.world import MP, RAY

FUZZ = int(os.environ.get("FUZZ", "0"))
TEMPLATE = Path(__file__).parents[5] / "roles" / "model_service" / "templates" / "service.j2"
# Histories in which a mutation has to be found.
MOST_HISTORIES = 300


@pytest.fixture(scope="module", autouse=True)
def virtual_time() -> Iterator[None]:
    """The supervisor's modules import the simulation's clock, threads and sockets."""
    with modules.installed():
        yield


def check(history: History, steady: float | None = None) -> Result:
    """Run a history; fail with it and its journal when it violates a property."""
    result = Run(history).run() if steady is None else Run(history, steady=steady).run()
    if result.violated:
        journal = "\n".join(Run(history, keeps_journal=True).run().journal[-150:])
        pytest.fail(f"{result.violated}\n{history}\n{journal}", pytrace=False)
    return result


@settings(
    max_examples=250 * max(1, FUZZ), deadline=None, database=None, derandomize=not FUZZ, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink), print_blob=False,
)
@given(histories())
def test_any_history(history: History) -> None:
    """Whatever happens to a service, no property is violated, and it serves again."""
    check(history)


@pytest.mark.parametrize("backend", [MP, RAY])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_incident_alone(backend: str, kind: str) -> None:
    """While the service serves, and while it starts; two on another place within a short time."""
    check(History(backend, 2, 1, [Incident(20, kind, 1, 15.0)]))
    check(History(backend, 2, 2, [Incident(0, kind, 2, 7.0, "program_started", 0.5), Incident(3, kind, 3, 1.0)]))


@pytest.mark.parametrize("backend", [MP, RAY])
def test_a_long_quiet_time(backend: str) -> None:
    """Nothing happens for two hours: no generation ends, no thread is left over, systemd's watchdog is content."""
    result = check(History(backend, 3, 3, []), steady=7200.0)
    assert result.generations == (4 if backend == MP else 5) and result.seconds > 7200


def test_a_history_is_repeated_exactly() -> None:
    """The same history has the same journal, so that a failure can be looked into."""
    first, second = (Run(drawn(7), keeps_journal=True).run() for _time in range(2))
    numbers = re.compile(r"process \d+")
    assert [numbers.sub("", line) for line in first.journal] == [numbers.sub("", line) for line in second.journal] and len(first.journal) > 20


def test_the_unit_is_the_templates() -> None:
    """The simulated systemd restarts and times out as the unit file says."""
    found = dict(re.findall(r"^(\w+)=(\S+)$", TEMPLATE.read_text(), re.MULTILINE))
    assert (found["Restart"], float(found["RestartSec"]), int(found["RestartPreventExitStatus"])) == (
        "always", systemd.RESTART_SECONDS, systemd.NO_RESTART_STATUS,
    )
    assert (float(found["TimeoutStartSec"]), float(found["WatchdogSec"])) == (systemd.START_TIMEOUT, systemd.WATCHDOG_SECONDS)
    assert (found["KillMode"], found["RuntimeDirectoryPreserve"], found["StartLimitIntervalSec"]) == ("mixed", "yes", "0")


def histories_until_found(mutation: Mutation) -> tuple[int, dict[str, str]]:
    """Return how many histories a mutation needs, and the properties that found it."""
    for number in range(MOST_HISTORIES):
        history = mutation.history(number) if mutation.history is not None else drawn(number, mutation.kinds)
        violated = Run(history, steady=mutation.steady).run().violated
        if violated:
            return number + 1, violated
    return MOST_HISTORIES, {}


@pytest.mark.skipif(not FUZZ, reason="make fuzz")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_mutation_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error that is put into the supervisor turns one of its properties red."""
    mutation.patch(monkeypatch)
    count, violated = histories_until_found(mutation)
    print(f"{mutation.name}: {', '.join(violated)} after {count} histories")
    assert set(violated) & set(mutation.found_by), f"{violated or 'not found'} after {count} histories"
