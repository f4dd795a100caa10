# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last known good state of a service, which has passed the health gate: unit, environment file, LoRA adapters, and the release and weights that they
need.

It is one file, readable by root alone and replaced atomically: after a crash it has either the previous or the new state. Beside it are the states that
it has replaced, to which an operator or a stopped rollout can go back.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os

from . import _adapters, _writing


# How many earlier states are kept.
EARLIER = 3


@dataclasses.dataclass
class State:
    """Unit and environment file with their texts, which have secrets; C(kept) is the time of the health gate in UTC, ISO 8601.

    The engine of some units follows a file with its LoRA adapters. These change without a restart and without the health gate, so that another text of that
    file makes no other state. Both are empty for other units, and for those of versions that did not record them.
    """

    service: str
    unit_file: str
    unit_text: str
    environment_file: str
    environment_text: str
    release: str
    release_path: str
    weights_path: str
    kept: str = ""
    adapters_file: str = ""
    adapters_text: str = ""

    def differs(self) -> bool:
        """Whether the files on the disk differ from these."""
        return [read(self.unit_file), read(self.environment_file)] != [self.unit_text, self.environment_text]

    def has_files_of(self, other: State) -> bool:
        """Whether both states have the same files."""
        return (self.unit_text, self.environment_text) == (other.unit_text, other.environment_text)

    def missing(self) -> list[str]:
        """Return the paths that it needs and that no longer exist on the host."""
        return [path for path in (os.path.join(self.release_path, "release.json"), self.weights_path) if not os.path.exists(path)]

    def restore(self) -> None:
        """Restore the files. The unit comes last: until it is restored, the next run knows that the restore is incomplete."""
        _writing.replace(self.environment_file, self.environment_text, 0o600, durable=True)
        if self.adapters_text:
            _adapters.put(self.adapters_file, self.adapters_text)
        _writing.replace(self.unit_file, self.unit_text, durable=True)


def of_disk(service: str, unit_file: str, environment_file: str, release: str, release_path: str, weights_path: str) -> State:
    """Return the state from the files on the disk."""
    kept = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    unit_text = read(unit_file)
    adapters_file = _adapters.file_of(unit_text)
    return State(
        service, unit_file, unit_text, environment_file, read(environment_file), release, release_path, weights_path, kept,
        adapters_file, read(adapters_file) if adapters_file else "",
    )


def load(path: str) -> State | None:
    """Return the state in a file; None when there is none, or this version cannot read it."""
    try:
        with open(path, encoding="utf-8") as file:
            return State(**json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def earlier_file(path: str) -> str:
    """The file of the states before the one in a file. Its name does not end in .json: their releases and weights may be pruned."""
    return path[: -len(".json")] + ".previous" if path.endswith(".json") else path + ".previous"


def earlier(path: str) -> list[State]:
    """Return the states before the one in a file, the latest first."""
    try:
        with open(earlier_file(path), encoding="utf-8") as file:
            return [State(**item) for item in json.load(file)]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def write(path: str, state: State) -> None:
    """Replace the present state by a new one, and keep it among the earlier ones."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    former = load(path)
    if former is not None and not former.has_files_of(state):
        keep_earlier(path, [former, *(one for one in earlier(path) if not one.has_files_of(state) and not one.has_files_of(former))])
    _writing.replace_json(path, dataclasses.asdict(state), 0o600, durable=True, indent=1)


def keep_adapters(path: str) -> None:
    """Record the LoRA adapters that the engine of the last known good state serves now. Raises OSError."""
    state = load(path)
    if state is None or state.differs():
        return
    file = _adapters.file_of(state.unit_text)
    found = dataclasses.replace(state, adapters_file=file, adapters_text=read(file) if file else "")
    if found != state:
        _writing.replace_json(path, dataclasses.asdict(found), 0o600, durable=True, indent=1)


def keep_earlier(path: str, states: list[State]) -> None:
    """Replace the earlier states."""
    _writing.replace_json(earlier_file(path), [dataclasses.asdict(state) for state in states[:EARLIER]], 0o600, durable=True, indent=1)


def abandon(path: str) -> None:
    """Make the latest earlier state the last known good one, and forget the present one, which one replica alone has had."""
    states = earlier(path)
    if states:
        _writing.replace_json(path, dataclasses.asdict(states[0]), 0o600, durable=True, indent=1)
        keep_earlier(path, states[1:])


def read(path: str) -> str:
    """Return a file's text unchanged; empty when the file does not exist."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
