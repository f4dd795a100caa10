# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor on the host: checks that read what facts do not have, one file a subject. The controller judges the facts (plugin_utils/diagnosis).

Every check changes nothing, has a time limit, and reports what it could not read. Its findings have stable names (docs/doctor.md).
"""

from __future__ import annotations

import functools
import typing as t

from .. import _masking, _reading
from . import certificates, clock, engines, loader, memory, mirrors, network, numa, pci, proxy, systemd, units
from .commands import Unread
from .context import Context
from .finding import Finding

CHECKS: dict[str, t.Callable[[Context], t.Iterator[t.Any]]] = {
    "engines": engines.check,
    "systemd": systemd.check,
    "loader": loader.check,
    "memory": memory.check,
    "certificates": certificates.check,
    "proxy": proxy.check,
    "network": network.check,
    "pci": pci.check,
    "numa": numa.check,
    "clock": clock.check,
    "mirrors": mirrors.check,
}
# Time limit of each check in seconds.
SECONDS = 30


def run(context: Context, seconds: float = SECONDS) -> dict[str, t.Any]:
    """Return C(findings), C(unknown) (by subject the reason) and C(running) (what each unit runs) of this host.

    :param context: what the controller knows; its units are read here
    """
    found, failed = _reading.ask({"units": lambda: [unit._asdict() for unit in units.read()]}, seconds)
    known = context._replace(units=[units.Unit(**unit) for unit in found.get("units", [])])
    unknown = {"units": reason for reason in failed.values()}
    results, failed = _reading.ask({name: functools.partial(collect, check, known) for name, check in CHECKS.items()}, seconds)
    unknown.update(failed)
    for result in results.values():
        unknown.update(result["unknown"])
    # A log that a finding quotes may quote the service's own key.
    secrets = [value for unit in known.units for name, value in unit.environment.items() if _masking.is_secret_name(name)]
    return {
        "findings": [_masked(finding, secrets) for result in results.values() for finding in result["findings"]],
        "unknown": _masked(unknown, secrets),
        "running": [running(unit) for unit in known.units],
    }


def _masked(texts: t.Mapping[str, t.Any], secrets: t.Sequence[str]) -> dict[str, t.Any]:
    """Return a dictionary of texts without these secrets."""
    return {name: _masking.masked(text, *secrets) if isinstance(text, str) else text for name, text in texts.items()}


def collect(check: t.Callable[[Context], t.Iterator[t.Any]], context: Context) -> dict[str, t.Any]:
    """Return the findings of a check and what it could not read, as JSON types."""
    findings: list[dict[str, t.Any]] = []
    unknown: dict[str, str] = {}
    try:
        for one in check(context):
            if isinstance(one, Finding):
                findings.append(one.to_dict())
            else:
                unknown[one.what] = one.reason
    except Unread as problem:
        unknown[check.__module__.rpartition(".")[2]] = str(problem)
    return {"findings": findings, "unknown": unknown}


def running(unit: units.Unit) -> dict[str, t.Any]:
    """Return what a unit runs, for the advisories: C(engine), C(version), C(ray) and the engine's C(arguments) that are numbers or switches."""
    path, engine, version = unit.release()
    lines = _reading.read_text(f"{path}/requirements.lock").splitlines() if path else []
    ray = [line.partition("==")[2].split()[0] for line in lines if line.startswith("ray==")]
    return {
        "unit": unit.name, "service": unit.service, "engine": engine, "version": version, "release": path.rpartition("/")[2], "ray": ray[0] if ray else "",
        "arguments": {name: value for name, value in unit.flags().items() if not isinstance(value, str)},
        "active": unit.get("ActiveState"), "port": unit.port,
    }
