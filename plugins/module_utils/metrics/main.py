# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector as a program: reads everything once, and replaces the file that node exporter reads.

A part that fails or does not answer in time is left out, and C(inferops_collector_error) names it. What is expensive to read, such as the kernel's log, is
read less often; in between, and while it fails, its last samples are repeated from a file in C(/run).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import typing as t

from .. import _nvidia, _reading, _safe_paths
from . import gpus, services, storage, text

NAME = "inferops.prom"
# Seconds that each part may take: nvidia-smi of a driver in trouble hangs, and so may a network file system.
SECONDS = 20.0
# Of these for each call of nvidia-smi, so that its part can still say what is known without it.
_NVIDIA_SECONDS = 12.0
# The file with the samples of expensive parts, in the unit's runtime directory.
_KEPT = "kept.json"
_PLACES = {"weights": "weights_dir", "releases": "releases_dir", "cache": "cache_dir", "state": "state_dir"}


def collect(settings: t.Mapping[str, t.Any], runtime: str, now: float, seconds: float = SECONDS) -> list[t.Sequence[t.Any]]:
    """Return all samples.

    :param settings: of the role monitoring: directories, C(health_interval) in seconds, C(advisories)
    :param runtime: directory for the samples of expensive parts; empty to read them at each run
    :param now: seconds since 1970
    """
    weights_dir, state_dir = str(settings["weights_dir"]), str(settings["state_dir"])
    advisories = settings.get("advisories")
    quick: dict[str, t.Callable[[], t.Any]] = {
        "services": lambda: services.samples(weights_dir, state_dir, advisories if isinstance(advisories, dict) else {}),
        "gpus": gpus.load,
        "downloads": lambda: storage.downloads(state_dir),
    }
    last = _last(runtime)
    slow: dict[str, t.Callable[[], t.Any]] = {
        "gpu_health": lambda: gpus.health(last["parts"].get("gpu_health", ())),
        "weights": lambda: storage.weights(weights_dir),
        "releases": lambda: storage.releases(str(settings["releases_dir"])),
    }
    found, failed = _reading.ask(quick, seconds)
    if not _is_fresh(last, now, float(settings.get("health_interval") or 0)):
        rare, failed_rarely = _reading.ask(slow, seconds)
        last = {"at": now, "parts": {part: rare.get(part, last["parts"].get(part, [])) for part in slow}, "failed": failed_rarely}
        _keep(runtime, last)
    disks, silent = storage.file_systems({**{purpose: str(settings[name]) for purpose, name in _PLACES.items()}, "system": "/"})
    errors = {**failed, **last["failed"], **({"disks": "; ".join(silent)} if silent else {})}
    for part, why in errors.items():
        print(f"{part}: {why}", file=sys.stderr)
    samples: list[t.Sequence[t.Any]] = [*(sample for parts in (found, last["parts"]) for part in parts.values() for sample in part), *disks]
    return samples + [("inferops_collector_error", {"part": part}, float(part in errors)) for part in (*quick, *slow, "disks")]


def _last(runtime: str) -> dict[str, t.Any]:
    """What the last run that read the expensive parts has kept: C(at), C(parts) with their samples, and those that C(failed)."""
    found = _reading.read_json(os.path.join(runtime, _KEPT)) if runtime else {}
    parts, failed = found.get("parts"), found.get("failed")
    is_whole = isinstance(parts, dict) and all(isinstance(samples, list) for samples in parts.values()) and isinstance(failed, dict)
    return found if is_whole else {"at": None, "parts": {}, "failed": {}}


def _is_fresh(last: t.Mapping[str, t.Any], now: float, interval: float) -> bool:
    """Whether the expensive parts are not due. A clock that was set back makes them due, and so does a part that failed."""
    at = last.get("at")
    # A tenth less, since the timer is not exact.
    return isinstance(at, (int, float)) and 0 <= now - at < 0.9 * interval and not last["failed"]


def _keep(runtime: str, kept: t.Mapping[str, t.Any]) -> None:
    if runtime:
        _write(runtime, _KEPT, json.dumps(kept), 0o600)


def _write(folder: str, name: str, data: str, mode: int) -> None:
    """Replace a file atomically, in a folder that is reached without links of other accounts. Raises OSError."""
    opened = _safe_paths.open_folder(folder)
    new = name + ".new"
    try:
        _safe_paths.remove_in(opened, new, os.path.join(folder, new))
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=opened), "wb") as file:
            file.write(data.encode("utf-8", "replace"))
            os.fchmod(file.fileno(), mode)
        os.replace(new, name, src_dir_fd=opened, dst_dir_fd=opened)
    finally:
        os.close(opened)


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Collect once. Return the exit status, which is not 0 only when nothing could be written."""
    parser = argparse.ArgumentParser(prog="metrics", description="Write metrics for node exporter's textfile collector.", allow_abbrev=False)
    parser.add_argument("--settings", required=True, help="settings of the role monitoring, a JSON file")
    parser.add_argument("--runtime", default=os.environ.get("RUNTIME_DIRECTORY", ""), help="directory for what is read less often")
    parser.add_argument("--print", action="store_true", help="print the metrics instead of writing them")
    given = parser.parse_args(arguments)
    _nvidia.SECONDS = _NVIDIA_SECONDS
    began, now = time.monotonic(), time.time()
    settings = _reading.read_json(given.settings)
    if missing := [name for name in (*_PLACES.values(), "textfile_dir") if name not in settings]:
        print(f"{given.settings} has no {', '.join(missing)}: run playbooks/monitoring.yml again", file=sys.stderr)
        return 1
    try:
        samples = collect(settings, given.runtime, now)
        samples += [("inferops_collector_timestamp_seconds", {}, now), ("inferops_collector_duration_seconds", {}, round(time.monotonic() - began, 3))]
        if given.print:
            print(text.render(samples), end="")
        else:
            _write(str(settings["textfile_dir"]), NAME, text.render(samples), 0o644)
    except OSError as error:
        print(f"the metrics cannot be written: {error}", file=sys.stderr)
        return 1
    return 0
