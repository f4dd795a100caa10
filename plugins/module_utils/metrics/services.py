# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples about the services: what C(playbooks/status.yml) shows, from the same readers."""

from __future__ import annotations

import datetime
import os
import typing as t

from .. import _last_known_good
from .._status import read, states
from .text import Sample

# A leader's worker of this name is its own engine.
_ENGINE = "engine"


def samples(weights_dir: str, state_dir: str, advisories: t.Mapping[str, t.Any]) -> list[Sample]:
    """Return the samples of all units. Raises OSError when systemd does not answer.

    :param advisories: by service its planned C(release) and the C(advisories) for it, each with C(name) and C(severity)
    """
    found: list[Sample] = []
    for unit in read.read_units(weights_dir, state_dir, between=0):
        found += of_unit(unit)
        if unit["scheme"] or unit["role"] == "leader":
            found += _of_service(unit["service"], state_dir)
            found += _advisories(unit, advisories)
    return found


def of_unit(unit: t.Mapping[str, t.Any]) -> list[Sample]:
    """Return the samples of a unit from C(read.read_units)."""
    own = {"service": unit["service"], "unit": unit["unit"]}
    state = states.unit_state(unit)
    runs = state in (states.SERVING, states.DEGRADED, states.STARTING)
    found: list[Sample] = [("inferops_service_state", {**own, "state": one}, float(one == state)) for one in states.OF_UNITS]
    found += [
        ("inferops_service_info", {**own, "release": unit["release"], "model": unit["model"], "revision": unit["revision"]}, 1.0),
        ("inferops_service_restarts_total", own, unit["restarts"]),
        ("inferops_service_generation", own, unit["restarts"] + 1 if runs else 0),
        ("inferops_service_failed_starts", own, unit["failed_starts"]),
        ("inferops_service_since_timestamp_seconds", own, seconds(unit["since"])),
        ("inferops_service_probe_timestamp_seconds", own, seconds(unit["answered"])),
        ("inferops_service_memory_bytes", own, unit["memory_bytes"]),
        ("inferops_service_last_failure_timestamp_seconds", own, seconds((unit["last_failure"] or {}).get("at", ""))),
        ("inferops_service_changed_outside", own, bool(unit["changed"])),
    ]
    if unit["role"] == "leader":
        nodes = 1 + len([worker for worker in unit["workers"] if worker != _ENGINE])
        connected = max(0, nodes - len(unit["missing_nodes"])) if runs else 0
        whole = {"service": unit["service"]}
        found += [("inferops_service_nodes", whole, nodes), ("inferops_service_nodes_connected", whole, connected)]
    found += [("inferops_service_node_missing", {"service": unit["service"], "node": node}, 1.0) for node in unit["missing_nodes"]]
    certificate = unit["certificate"]
    if certificate:
        expires = seconds(certificate["served_expires"] or certificate["expires"])
        found.append(("inferops_certificate_expiry_timestamp_seconds", {"service": unit["service"], "file": certificate["path"]}, expires))
    return [sample for sample in found if sample[2] is not None]


def _of_service(service: str, state_dir: str) -> list[Sample]:
    kept = _last_known_good.load(os.path.join(state_dir, "served", f"{service}.json"))
    found: list[Sample] = [("inferops_service_last_known_good", {"service": service}, float(kept is not None))]
    moment = seconds(kept.kept) if kept is not None else None
    if moment is not None:
        found.append(("inferops_service_last_known_good_timestamp_seconds", {"service": service}, moment))
    return found


def _advisories(unit: t.Mapping[str, t.Any], advisories: t.Mapping[str, t.Any]) -> list[Sample]:
    """The advisories of a unit that runs the release that they are about."""
    planned = advisories.get(unit["service"])
    if not isinstance(planned, dict) or planned.get("release") != unit["release"]:
        return []
    return [
        ("inferops_advisory", {"service": unit["service"], "advisory": str(one.get("name")), "severity": str(one.get("severity"))}, 1.0)
        for one in planned.get("advisories", ()) if isinstance(one, dict)
    ]


def seconds(moment: str) -> float | None:
    """Return a time in ISO 8601 as seconds since 1970; None for anything else."""
    try:
        return datetime.datetime.fromisoformat(moment).timestamp() if moment else None
    except (ValueError, OverflowError):
        return None
