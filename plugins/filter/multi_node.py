# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for multi-node services. Documented in the .yml files beside this one."""

from __future__ import annotations

import typing as t

Service = t.Mapping[str, t.Any]


def multi_node_tokens(services: t.Sequence[Service], given: str, made: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the token of each multi-node service: `given`, else the one that its head has created, or an empty string if there is none yet.

    `made` are the results of the module `multi_node_token`, by host.
    """
    found = {}
    for service in services:
        head = made.get(service["node"]["nodes"][0]["host"]) or {}
        found[service["name"]] = given or (head.get("tokens") or {}).get(service["name"], "")
    return found


def multi_node_errors(own: t.Mapping[str, str], services: t.Sequence[Service], others: t.Mapping[str, t.Mapping[str, str]], host: str) -> dict[str, str]:
    """Return a host's errors, and the errors that other nodes report for the multi-node services of this host.

    `others` are the errors of each host that reports any.
    """
    found = dict(own)
    for service in services:
        node = service.get("node")
        for other in node["nodes"] if node else []:
            error = others.get(other["host"], {}).get(service["name"])
            if other["host"] != host and error and service["name"] not in found:
                found[service["name"]] = f"On node {other['host']}: {error}"
    return found


def failed_nodes(services: t.Sequence[Service], hosts: t.Sequence[str]) -> list[str]:
    """Return a line for each multi-node service with a failed node. `hosts` are the hosts that have not failed in this run."""
    found = []
    for service in services:
        failed = [node["host"] for node in (service.get("node") or {}).get("nodes", []) if node["host"] not in hosts]
        if failed:
            found.append(f"{service['name']}: {', '.join(failed)} failed in this run, and a run changes a multi-node service on all nodes or on none")
    return found


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "multi_node_tokens": multi_node_tokens,
            "multi_node_errors": multi_node_errors,
            "failed_nodes": failed_nodes,
        }
