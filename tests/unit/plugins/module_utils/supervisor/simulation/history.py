# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One history: a service starts, incidents happen to it, everything external is healed, and it serves again. The properties are checked all the time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from .incidents import KINDS, LONGEST_WAIT, MOMENTS, STOPS, Incident
from .modules import running
from .properties import PROPERTIES, Facts, remember, seconds_to_serve
from .world import MP, RAY, World

# Seconds that a service has to serve without interruption to count as healed.
STEADY_SECONDS = 12.0


@dataclasses.dataclass(frozen=True)
class History:
    """A service, and what happens to it. C(seed) decides the order of threads."""

    backend: str
    workers: int
    seed: int
    incidents: Sequence[Incident]

    def __repr__(self) -> str:
        return f"History({self.backend!r}, {self.workers}, seed={self.seed}, incidents=[\n" + "".join(f"    {one!r},\n" for one in self.incidents) + "])"


@dataclasses.dataclass
class Result:
    """What came of a history. C(violated) are properties by name with what is wrong; C(healed) is the seconds from the last incident until it served."""

    violated: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    healed: float = 0.0
    generations: int = 0
    journal: list[str] = dataclasses.field(default_factory=list)


class Run:
    """Runs a history."""

    def __init__(self, history: History, keeps_journal: bool = False, steady: float = STEADY_SECONDS) -> None:
        self.result = Result()
        self._steady = steady
        self._facts = Facts(bool(history.incidents) and {incident.kind for incident in history.incidents} <= STOPS)
        self._keeps_journal = keeps_journal
        self._waiting: list[Incident] = []
        self._last = 0.0
        self.world = World(history.backend, history.workers, history.seed, self.observe)
        self._incidents = history.incidents

    def observe(self, kind: str, **values: Any) -> None:
        """Check the properties, let the incidents happen that wait for this, and write it down."""
        world = self.world
        if kind != "sent" and self._keeps_journal:
            self._write(kind, values)
        for check in PROPERTIES.get(kind, ()):
            wrong = check(world, self._facts, **values)
            if wrong:
                self.result.violated.setdefault(check.__name__, f"at {world.scheduler.now:.1f} s: {wrong}")
                world.scheduler.stopped = True
        if kind in ("sent", "second"):
            return
        remember(world, self._facts, kind, **values)
        if kind == "launched":
            self.result.generations += 1
        moment = "ready" if kind == "notified" and values["text"] == "READY=1" else kind
        for incident in [incident for incident in self._waiting if incident.moment == moment]:
            self._waiting.remove(incident)
            self._last = max(self._last, world.scheduler.now + incident.delay + incident.seconds)
            world.scheduler.after(incident.delay, self._act, incident)

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        if kind in ("second", "written", "status") or (kind == "notified" and not values["text"].startswith("READY")):
            return
        unit = values.get("unit") or getattr(values.get("process"), "unit", None) or getattr(values.get("program"), "unit", None)
        text = values.get("text") or " ".join(str(value) for name, value in values.items() if name not in ("unit", "process", "program", "host"))
        where = unit.node if unit is not None else getattr(values.get("host"), "name", "")
        self.result.journal.append(f"{self.world.scheduler.now:9.3f} {where:8} {'' if kind == 'journal' else kind + ' '}{text}")

    def _act(self, incident: Incident) -> None:
        if self._keeps_journal:
            self.result.journal.append(f"{self.world.scheduler.now:9.3f} {'':8} *** {incident!r}")
        KINDS[incident.kind](self.world, incident.where, incident.seconds)

    def _arrange(self, incident: Incident) -> None:
        if incident.moment:
            self._waiting.append(incident)
            self.world.scheduler.after(LONGEST_WAIT, lambda: self._waiting.remove(incident) if incident in self._waiting else None)
        else:
            self._act(incident)

    def run(self) -> Result:
        """Run it to its end."""
        world, scheduler = self.world, self.world.scheduler
        with running(world):
            world.start()
            for incident in self._incidents:
                scheduler.at(float(incident.at), self._arrange, incident)
                self._last = max(self._last, incident.at + (0.01 if incident.moment else incident.seconds))
            while not scheduler.stopped and (scheduler.now < self._last or self._waiting):
                scheduler.run(max(self._last, scheduler.now + (1.0 if self._waiting else 0.0)))
            if not scheduler.stopped:
                world.heal()
                self._wait_until_it_serves()
        self.result.seconds = scheduler.now
        return self.result

    def _wait_until_it_serves(self) -> None:
        scheduler = self.world.scheduler
        healed = scheduler.now
        failures = max([1, *(count + 1 for count in self._facts.counted.values())])
        bound = seconds_to_serve(failures)
        since: float | None = None
        while not scheduler.stopped:
            scheduler.run(scheduler.now + 0.5)
            if not self.world.serves():
                since = None
            elif since is None:
                since = scheduler.now
            elif scheduler.now - since >= self._steady:
                self.result.healed = since - healed
                return
            if since is None and scheduler.now - healed > bound:
                statuses = "; ".join(f"{unit.node} ({unit.state}): {unit.status}" for unit in self.world.units)
                self.result.violated["serves_again_within_the_bound"] = f"not after {bound:.0f} s: {statuses}"
                return


_SECONDS = [0.5, 1.0, 3.0, 7.0, 15.0, 25.0, 40.0]
_DELAYS = [0.0, 0.001, 0.01, 0.1, 0.5, 2.0]
_LATEST, _MOST_WORKERS, _MOST_INCIDENTS = 40, 3, 6


def histories() -> st.SearchStrategy[History]:
    """Generate histories, which shrink to few, simple incidents."""
    incidents = st.builds(
        Incident, st.integers(0, _LATEST), st.sampled_from(sorted(KINDS)), st.integers(0, 7), st.sampled_from(_SECONDS), st.sampled_from(MOMENTS),
        st.sampled_from(_DELAYS),
    )
    return st.builds(
        History, st.sampled_from([MP, RAY]), st.integers(1, _MOST_WORKERS), st.integers(0, 1000), st.lists(incidents, min_size=1, max_size=_MOST_INCIDENTS),
    )


def drawn(seed: int, kinds: Sequence[str] = ()) -> History:
    """Return the history of a number, of some kinds of incidents: faster than a strategy, and the same in each version of hypothesis."""
    random = Random(seed)
    incidents = [
        Incident(
            random.randint(0, _LATEST), random.choice(kinds or sorted(KINDS)), random.randint(0, 7), random.choice(_SECONDS), random.choice(MOMENTS),
            random.choice(_DELAYS),
        )
        for _number in range(random.randint(1, _MOST_INCIDENTS))
    ]
    return History(random.choice([MP, RAY]), random.randint(1, _MOST_WORKERS), seed, incidents)
