# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks loop over or write for each service: the directories that its account owns, the units to start or remove, what downloads share."""

from __future__ import annotations

from typing import Any, Mapping

from ..inputs.settings.sharing import ALONE, FOLLOWER, SOURCE


def directories(account: Mapping[str, str], cache: str, units: list[dict[str, Any]], former: str) -> list[dict[str, Any]]:
    """The directories that a service writes to, as the module C(directories) takes them.

    An existing directory keeps its owner: a unit that changes its account takes its directories over when it starts, not before. A directory of
    another owner is an error. The directories above them become root's.

    :param former: the account that all services once shared
    """
    of = [account["user"], former]
    own = {"owner": account["user"], "group": account["group"], "mode": "0750", "of": of}
    items = {cache: own}
    for unit in units:
        items[unit["failures"]] = own
        if unit["ray_folder"]:
            items[unit["ray_folder"]] = {"owner": "root", "group": account["group"], "mode": "0770", "of": of}
    found: dict[str, dict[str, Any]] = {}
    for path, item in items.items():
        above = path.rpartition("/")[0]
        found.setdefault(above, {"path": above, "mode": "0755", "keep": True, "former": former})
        found.setdefault(path, {"path": path, **item, "keep": True})
    return list(found.values())


def unit_states(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A service's units on a host and the state that each is to have, as the module C(service_state) takes them.

    Units of another backend or role go first, since they hold the ports. The unit that stands for the service comes last and has the cache, the
    account and the files, which the others use too.
    """
    keys = ("unit", "environment_file", "served", "folders")
    items = [{key: unit[key] for key in keys} for unit in reversed(service["units"])]
    if not items and service["state"] == "present":
        items = [{**{key: service[key] for key in keys[:-1]}, "folders": []}]
    found = [{**{key: unit[key] for key in keys}, "state": "absent"} for unit in service["former_units"]]
    found += [{**item, "state": service["state"]} for item in items]
    last = {"cache": service["cache"], "account": service["account"]["user"]}
    *others, main = found
    return [*({**item, **dict.fromkeys(last)} for item in others), {**main, **last, "folders": [*main["folders"], service["files"]["root"]]}]


def share_download(weights: Mapping[str, Any], stall_timeout: int) -> dict[str, Any]:
    """What the download of some weights has to know of sharing: whom to copy from, or where to export what it has.

    :param stall_timeout: seconds to wait for a source that does not answer or makes no progress
    """
    share = weights["share"]
    if share["role"] == SOURCE:
        return {"role": SOURCE, "export_dir": f"{weights['path']}.share"}
    if share["role"] == FOLLOWER:
        return {
            "role": FOLLOWER,
            "source": share["source"],
            "url": f"{share['url']}/{weights['name']}",
            "progress": f"{share['url']}/progress/{weights['unit']}.json",
            "stall_timeout": stall_timeout,
        }
    return {"role": ALONE}
