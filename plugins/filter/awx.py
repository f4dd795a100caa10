# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that select the objects for which C(awx_setup.yml) can query AWX in check mode. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Entry = t.Mapping[str, t.Any]

# Options that name another object, with its kind.
_REFERENCES = {
    "organization": "organizations",
    "lookup_organization": "organizations",
    "credential_type": "credential_types",
    "credential": "credentials",
    "credentials": "credentials",
    "galaxy_credentials": "credentials",
    "execution_environment": "execution_environments",
    "default_environment": "execution_environments",
    "project": "projects",
    "source_project": "projects",
    "inventory": "inventories",
    "workflow_job_template": "workflows",
    "unified_job_template": "templates",
}
_LINKS = ("success_nodes", "failure_nodes", "always_nodes")


def _text(value: t.Any) -> list[str]:
    return [value] if isinstance(value, str) else [one for one in value if isinstance(one, str)] if isinstance(value, (list, tuple)) else []


def _itself(kind: str, entry: Entry) -> str:
    if kind == "nodes":
        return f"nodes: {entry.get('workflow_job_template')}, {entry.get('identifier')}"
    return f"{kind}: {entry.get('name')}"


def _needs(kind: str, entry: Entry) -> set[str]:
    """Labels of all objects that have to exist before AWX can be queried about an entry."""
    found = {f"{target}: {name}" for option, target in _REFERENCES.items() for name in _text(entry.get(option))}
    found |= {f"workflows: {name}" for name in _text(entry.get("unified_job_template"))}
    if kind == "nodes":
        workflow = entry.get("workflow_job_template")
        found |= {f"nodes: {workflow}, {name}" for option in _LINKS for name in _text(entry.get(option))}
    return found - {_itself(kind, entry)}


def awx_pending(lists: t.Mapping[str, t.Sequence[Entry]], results: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """Return the objects that are missing in AWX in check mode, and all objects that refer to them, each as `kind: name`.

    `lists` has the entries of each kind in the order of their creation, `results` the registered results of this run's tasks. A module that would
    create its object reports a change and no id.
    """
    pending = [
        _itself(kind, result["item"])
        for kind, registered in results.items()
        for result in registered.get("results", [])
        if result.get("changed") and "id" not in result and isinstance(result.get("item"), t.Mapping) and result["item"].get("state") != "absent"
    ]
    for kind, entries in lists.items():
        for entry in entries:
            label = _itself(kind, entry)
            if label not in pending and not _needs(kind, entry).isdisjoint(pending):
                pending.append(label)
    return pending


def awx_ready(entries: t.Sequence[Entry], kind: str, pending: t.Sequence[str], absent: bool = True) -> list[Entry]:
    """Return the entries that refer to no pending object, so that AWX can be queried about them. `absent`: include those with `state: absent`."""
    return [
        entry for entry in entries
        if _needs(kind, entry).isdisjoint(pending)
        and not (kind == "nodes" and _itself(kind, entry) in pending)
        and (absent or entry.get("state") != "absent")
    ]


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"awx_pending": awx_pending, "awx_ready": awx_ready}
