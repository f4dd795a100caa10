# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that pass what the plan knows to the doctor's module. Documented in the .yml files beside this one."""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.inferops.gpu.plugins.module_utils._endpoint_kinds import DEFAULT_BRANCH, file_address, is_modelscope

Values = t.Mapping[str, t.Any]

# A file that nearly every repository has and that is larger than the megabyte to measure with.
MEASURED = "tokenizer.json"


def diagnosis_services(plan: Values, facts: Values) -> list[dict[str, t.Any]]:
    """Return what `host_diagnosis` needs to know about the services of a host: the names in certificates, and the nodes of multi-node services."""
    return [_service(plan["host"], service, facts.get("interfaces") or {}) for service in plan.get("services", ()) if service["state"] == "present"]


def _service(host: str, service: Values, interfaces: t.Mapping[str, t.Sequence[str]]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {"service": service["name"]}
    tls, node = service.get("tls"), service.get("node")
    if tls:
        found["names"] = [name for name in [tls["name"] or urllib.parse.urlsplit(service["url"] or "").hostname] if name]
    if node:
        own = next((item["address"] for item in node["nodes"] if item["host"] == host), "")
        found["address"] = own
        found["interface"] = next((name for name, addresses in interfaces.items() if own in addresses), "")
        found["peers"] = [{"host": item["host"], "address": item["address"]} for item in node["nodes"] if item["host"] != host]
    return found


def diagnosis_mirrors(plan: Values) -> list[dict[str, t.Any]]:
    """Return one request for each endpoint and package index that a host downloads from."""
    found: dict[str, dict[str, t.Any]] = {}
    for weights in plan.get("weights", ()):
        for endpoint in () if weights["local"] else weights["endpoints"]:
            found.setdefault(endpoint, {
                "name": "the endpoint", "setting": "weights_endpoints", "measure": True, "authenticate": endpoint in weights["token_endpoints"],
                "url": _url(endpoint.rstrip("/"), weights),
            })
    for release in plan.get("releases", ()):
        index, package = release["index"], re.split(r"[\[=<>~! ]", release["package"])[0]
        for base in () if index["no_index"] else (index["index_url"], *index["extra_index_urls"]):
            if base:
                found.setdefault(base, {"name": "the package index", "setting": "vllm_index_url, host_index_url", "url": f"{base.rstrip('/')}/{package}/"})
        for link in index["find_links"]:
            if link.startswith(("http://", "https://")):
                found.setdefault(link, {"name": "the page of wheels", "setting": "vllm_find_links, host_find_links", "url": link})
    return list(found.values())


def _url(endpoint: str, weights: Values) -> str:
    """The URL of the measured file. Where there are endpoints of the Hub, the revision is one of the Hub, which ModelScope does not have."""
    other = is_modelscope(endpoint) and not all(map(is_modelscope, weights["endpoints"]))
    return file_address(endpoint, weights["repo"], DEFAULT_BRANCH if other else weights["revision"], MEASURED)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"diagnosis_services": diagnosis_services, "diagnosis_mirrors": diagnosis_mirrors}
