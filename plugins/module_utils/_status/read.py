# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole state of a host's services. What does not answer within its time is left out and named in C(unread)."""

from __future__ import annotations

import datetime
import os
import typing as t

from .. import _adapters, _green, _host, _reading
from .._kernel import conntrack
from . import adapters, certificates, disks, drift, gpus, jobs, manager, metrics, records, texts, unmanaged
from . import units as unit_files

# Seconds that each part may take. nvidia-smi alone has 60.
SECONDS = 90.0


def read(weights_dir: str, releases_dir: str, cache_dir: str, state_dir: str) -> dict[str, t.Any]:
    """Return the state of all services and of what they use."""
    found, failed = _reading.ask(
        {
            "units": lambda: read_units(weights_dir, state_dir),
            "gpus": gpus.read,
            "jobs": lambda: jobs.read(state_dir),
            "connections": conntrack.read,
        },
        SECONDS,
    )
    units = found.get("units", [])
    cards = found.get("gpus", {})
    # Temporary units of blue/green updates serve no service of their own.
    managed = {unit["unit"] for unit in units} | set(_green.units())
    others, failed_others = _reading.ask({"unmanaged": lambda: unmanaged.read(managed, cards.get("processes", []))}, SECONDS)
    places = {"weights": weights_dir, "releases": releases_dir, "cache": cache_dir, "state": state_dir, "system": "/"}
    file_systems, silent = disks.read(places)
    unread = {**failed, **failed_others, **{f"disk of {purpose}": why for purpose, why in silent.items()}}
    if cards.get("error"):
        unread["gpus"] = cards["error"]
    return _reading.clean({
        "read_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "units": units,
        "gpus": cards.get("gpus", []),
        "disks": file_systems,
        "downloads": found.get("jobs", {}).get("downloads", []),
        "builds": found.get("jobs", {}).get("builds", []),
        "connections": found.get("connections", {}),
        "unmanaged": others.get("unmanaged", []),
        "unread": {name: texts.one_line(why) for name, why in unread.items()},
    })


def read_units(weights_dir: str, state_dir: str, between: float = metrics.BETWEEN) -> list[dict[str, t.Any]]:
    """Return the managed units of services. Raises OSError when systemd does not answer.

    :param between: seconds between the two readings of an engine's metrics; 0 for one reading, without tokens per second
    """
    services = _host.read_services()
    states = manager.read([service["unit"] for service in services])
    about = {
        service["unit"]: unit_files.about(service["unit"], _host.read_text(os.path.join(_host.UNIT_DIRECTORY, service["unit"]))) for service in services
    }
    # A unit that is starting has an engine that may answer already; the port of a stopped one may be somebody else's.
    active = {unit: one for unit, one in about.items() if states[unit].active == "active"}
    answers = metrics.read({unit: one.engine for unit, one in active.items() if one.engine}, between)
    refused = adapters.not_loaded(active)
    return [
        {
            **_unit(service, about[service["unit"]], states[service["unit"]], answers.get(service["unit"]), weights_dir, state_dir),
            # vLLM does not start without the adapters in its arguments.
            "adapters_not_loaded": refused.get(service["unit"]) if about[service["unit"]].adapters_file else [],
        }
        for service in services
    ]


def _unit(
    service: t.Mapping[str, t.Any], about: unit_files.About, state: manager.State, engine: dict[str, t.Any] | None, weights_dir: str, state_dir: str,
) -> dict[str, t.Any]:
    unit = service["unit"]
    record = records.supervisor(unit)
    changes = drift.changes(unit, state, about.environment_file, drift.record_of(state_dir, about.environment_file))
    if not about.readable:
        changes.insert(0, {"what": "unit_file", "path": os.path.join(_host.UNIT_DIRECTORY, unit), "text": f"the command of {unit} is not the collection's"})
    failure, failure_error = None, ""
    try:
        failure = records.last_failure(about.failures) if about.failures else None
    except OSError as error:
        failure_error = texts.one_line(f"{about.failures}: {error.strerror or error}")
    return {
        "unit": unit, "service": service["service"], "role": about.role, "node": about.node, "leader": about.leader, "workers": list(about.workers),
        "active": state.active, "sub": state.sub, "result": state.result, "enabled": state.enabled, "since": state.since,
        "status": state.status or record.text, "main_pid": state.main_pid, "restarts": state.restarts, "failed_starts": record.failed,
        "missing_nodes": list(record.missing), "answered": record.answered, "memory_bytes": state.memory_bytes,
        "last_failure": failure, "last_failure_error": failure_error,
        "listens": about.host, "port": about.port, "scheme": about.engine.partition(":")[0] if about.engine else "",
        "command_digest": about.digest, "model": about.model, "task": about.task, "release": about.release, "weights": about.weights,
        "revision": unit_files.revision_of(about.weights, weights_dir), "gpus": service["gpus"], "engine": engine,
        "certificate": certificates.read(about.certificate, about.served_certificate) if about.certificate else None,
        "adapters": sorted({*about.adapters, *((_adapters.read(about.adapters_file) or {}) if about.adapters_file else ())}),
        "changed": changes,
    }
