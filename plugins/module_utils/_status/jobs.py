# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that prepare services: downloads of weights, and builds of releases."""

from __future__ import annotations

import os
import typing as t

from .. import _host, _prune, _releases, _systemd
from . import manager, texts

_BUSY = ("activating", "reloading")
# Keys of a download's status file (fetch/progress.py) and their limits.
_NUMBERS = ("bytes", "total_bytes", "rate", "eta_seconds")


def read(state_dir: str) -> dict[str, list[dict[str, t.Any]]]:
    """Return C(downloads) and C(builds) that run or have failed. Raises OSError when systemd does not answer."""
    downloads = list(_prune.download_units())
    builds = {f"inferops-release-{name}.service": name for name in _releases.builds(_host.UNIT_DIRECTORY)}
    states = {unit: state for unit, state in manager.read([*downloads, *builds]).items() if state.active in _BUSY or state.active == "failed"}
    return {
        "downloads": [
            download(unit, state, _systemd.read_progress(os.path.join(state_dir, "progress", f"{unit}.json")))
            for unit, state in states.items() if unit not in builds
        ],
        "builds": [
            build(builds[unit], unit, state, _systemd.read_progress(os.path.join(state_dir, "jobs", f"release-{builds[unit]}.status.json")))
            for unit, state in states.items() if unit in builds
        ],
    }


def download(unit: str, state: manager.State, progress: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a download with its progress: bytes, bytes per second and seconds left, None where unknown."""
    numbers = {name: texts.whole(progress.get(name)) for name in _NUMBERS}
    done, total = numbers["bytes"], numbers["total_bytes"]
    return {
        "name": unit.replace("inferops-weights-", "", 1).rpartition(".")[0], "unit": unit, "state": _word(state), "since": state.since, **numbers,
        "fraction": min(1.0, round(done / total, 4)) if done is not None and total else None,
        "text": texts.one_line(progress.get("text")), "error": texts.one_line(progress.get("error")), "fix": texts.one_line(progress.get("fix")),
    }


def build(name: str, unit: str, state: manager.State, progress: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the build of a release."""
    return {
        "name": name, "unit": unit, "state": _word(state), "since": state.since, "text": texts.one_line(progress.get("text")),
        "error": texts.one_line(progress.get("error")), "fix": texts.one_line(progress.get("fix")),
    }


def _word(state: manager.State) -> str:
    return "failed" if state.active == "failed" else "running"
