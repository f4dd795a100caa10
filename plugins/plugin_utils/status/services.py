# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a run, each once: what their units, the inventory and the plan say."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.inferops.gpu.plugins.module_utils._status.units import digest

from . import states
from .hosts import ABSENT, PRESENT, Host, Item

# A service on its hosts: its name, and the host of its leader (of a service on one host: that host).
Key = tuple[str, str]
_WILDCARDS = ("", "0.0.0.0", "::")
_ENGINE = "engine"
_MEASURED = ("requests_running", "requests_waiting", "kv_cache_used", "prompt_tokens_per_second", "generation_tokens_per_second")


def services_of(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """The services of all hosts, those that need attention first."""
    by_name = {host.name: host for host in hosts}
    units = _units(hosts)
    planned = _planned(hosts)
    keys = {**dict.fromkeys(units), **dict.fromkeys(planned)}
    keys.update(dict.fromkeys(_defined(hosts, units, planned)))
    found = [_service(key, units.get(key, []), planned.get(key), by_name) for key in keys]
    return sorted(found, key=lambda item: (states.ORDER.index(item["state"]), item["service"], item["hosts"]))


def _units(hosts: Sequence[Host]) -> dict[Key, list[tuple[Host, Item]]]:
    """The units of each service. A unit without a leader is that of a service on one host."""
    found: dict[Key, list[tuple[Host, Item]]] = {}
    for host in hosts:
        for unit in host.units:
            found.setdefault((unit["service"], unit["leader"] or host.name), []).append((host, unit))
    return found


def _planned(hosts: Sequence[Host]) -> dict[Key, dict[str, Any]]:
    """The present services of the plan, each with its nodes and, if its host with the API is in the run, its entry there."""
    found: dict[Key, dict[str, Any]] = {}
    for host in hosts:
        for service in host.plan.get("services", []):
            if service["state"] == PRESENT:
                nodes = [node["host"] for node in service["node"]["nodes"]] if service["node"] else [host.name]
                about = found.setdefault((service["name"], nodes[0]), {"nodes": nodes, "entry": None})
                about["entry"] = service if service["url"] else about["entry"]
    return found


def _defined(hosts: Sequence[Host], units: Mapping[Key, Sequence[tuple[Host, Item]]], planned: Mapping[Key, Item]) -> list[Key]:
    """Services of the inventory that neither the plan nor a unit of any of its hosts has, for example because the plan is not valid."""
    known = {(name, node) for (name, leader), found in units.items() for node in _nodes(leader, found, None)}
    known |= {(name, node) for (name, _leader), about in planned.items() for node in about["nodes"]}
    wanted = [(name, host.name) for host in hosts for name, state in (host.defined or {}).items() if state == PRESENT]
    return [key for key in wanted if key not in known]


def _service(key: Key, units: Sequence[tuple[Host, Item]], planned: Item | None, hosts: Mapping[str, Host]) -> dict[str, Any]:
    name, leader = key
    entry = planned["entry"] if planned else None
    nodes = _nodes(leader, units, planned)
    found = {host.name for host, _unit in units}
    missing = [node for node in nodes if node not in found]
    each = [states.unit_state(unit) for _host, unit in units]
    each += [states.NOT_DEPLOYED if node in hosts and hosts[node].was_read else states.UNKNOWN for node in missing]
    state = states.combined(each)
    # The unit with the API; without one, that of the leader.
    main = next((pair for pair in units if pair[1]["scheme"]), units[0] if units else None)
    # The unit to which the state is due.
    telling = next((unit for (_host, unit), word in zip(units, each) if word == state), main[1] if main else None)
    pending = _pending(name, entry, units)
    if state == states.SERVING and pending and any(host.holds for host, _unit in units):
        state = states.HOLD
    engine = (main[1]["engine"] if main else None) or {}
    return {
        "service": name,
        "hosts": nodes,
        "inventory": _inventory(name, [hosts[node] for node in nodes if node in hosts]),
        "state": state,
        "since": telling["since"] if telling and state != states.UNKNOWN else "",
        "status": telling["status"] if telling else "",
        "endpoint": _endpoint(main, entry),
        "model": main[1]["model"] if main else entry["served_model_name"] if entry else "",
        "task": main[1]["task"] if main else entry["task"] if entry else "",
        "adapters": main[1]["adapters"] if main else [],
        "adapters_not_loaded": main[1]["adapters_not_loaded"] if main else [],
        "release": main[1]["release"] if main else entry["release"] if entry else "",
        "weights": main[1]["weights"] if main else entry["weights_path"] if entry else "",
        "revision": main[1]["revision"] if main else entry["revision"] if entry else "",
        **{measured: engine.get(measured) for measured in _MEASURED},
        "error": engine.get("error", ""),
        "restarts": sum(unit["restarts"] for _host, unit in units),
        "failed_starts": max((unit["failed_starts"] for _host, unit in units), default=0),
        "last_failure": max(
            ({"host": host.name, "unit": unit["unit"], **unit["last_failure"]} for host, unit in units if unit["last_failure"]),
            key=lambda failure: str(failure["at"]), default=None,
        ),
        "memory_bytes": _total([unit["memory_bytes"] for _host, unit in units]),
        "certificate": next((unit["certificate"] for _host, unit in units if unit["certificate"]), None),
        "pending": pending,
        "missing": [{"host": node, "text": _missing_text(hosts.get(node))} for node in missing] if units else [],
        "changed": [{"host": host.name, "unit": unit["unit"], **change} for host, unit in units for change in unit["changed"]],
        "units": [{"host": host.name, "state": word, **unit} for (host, unit), word in zip(units, each)],
    }


def _nodes(leader: str, units: Sequence[tuple[Host, Item]], planned: Item | None) -> list[str]:
    """The hosts of a service, its leader's first: those of its units, of their supervisors' arguments, and of the plan."""
    named = [worker for _host, unit in units for worker in unit["workers"] if worker != _ENGINE]
    return list(dict.fromkeys([leader, *named, *sorted(host.name for host, _unit in units), *(planned["nodes"] if planned else ())]))


def _missing_text(host: Host | None) -> str:
    if host is None:
        return "is not part of this run"
    if not host.was_read:
        return "was not read: " + host.error
    return "has no unit of the service"


def _pending(name: str, entry: Item | None, units: Sequence[tuple[Host, Item]]) -> bool | None:
    """Whether the plan has another configuration than the one that runs; None if unknown.

    C(checked) has the digest of the whole configuration whose arguments were accepted last. A deployment that was rolled back leaves it, and the unit with
    its previous command.
    """
    if entry is None or not units:
        return None
    checked = next((host.facts.get("checked") for host, unit in units if unit["scheme"]), None)
    if checked is not None and checked.get(name) != entry["digest"]:
        return True
    wanted = {
        (host.name, unit["unit"]): digest([*unit["supervisor"], "--", *unit["command"]])
        for host in {host.name: host for host, _unit in units}.values()
        for service in host.plan.get("services", []) if service["name"] == name
        for unit in service["units"]
    }
    if any(wanted.get((host.name, unit["unit"])) not in (None, unit["command_digest"]) for host, unit in units):
        return True
    return None if checked is None else False


def _inventory(name: str, hosts: Sequence[Host]) -> str:
    """Whether the inventory has the service: C(present), C(absent), C(none) or C(unknown)."""
    found = {host.defined.get(name, "none") if host.defined is not None else "unknown" for host in hosts}
    return next((word for word in (PRESENT, ABSENT, "unknown", "none") if word in found), "unknown")


def _endpoint(main: tuple[Host, Item] | None, entry: Item | None) -> str:
    """The base URL for clients: the plan's, or that of the unit that runs."""
    if main is not None and main[1]["port"] and main[1]["scheme"]:
        host, unit = main
        if entry is not None and entry["port"] == unit["port"]:
            return f"{entry['url']}/v1"
        address = host.address if unit["listens"] in _WILDCARDS else unit["listens"]
        return f"{unit['scheme']}://{f'[{address}]' if ':' in address else address}:{unit['port']}/v1"
    return f"{entry['url']}/v1" if entry is not None and main is None else ""


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
