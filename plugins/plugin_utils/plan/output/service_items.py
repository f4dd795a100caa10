# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items for the tasks of each service: the directories of its account, the units to start or remove, and the sharing of downloads."""

from __future__ import annotations

from typing import Any, Mapping

from ..inputs.settings.sharing import ALONE, FOLLOWER, SOURCE


def directories(account: Mapping[str, str], cache: str, units: list[dict[str, Any]], former: str) -> list[dict[str, Any]]:
    """The directories that a service writes to, as the module C(directories) takes them.

    An existing directory keeps its owner: a unit with a new account changes the owner of its directories when it starts. A directory of any other
    owner is an error. The parent directories get the owner root.

    :param former: the account that all services shared in earlier versions
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
    """A service's units on a host and the desired state of each, as the module C(service_state) takes them.

    Units of another backend or role come first, since they use the same ports. They go, and a rollback can restore them (module C(service_state)). The
    main unit comes last, with the cache, the account, the files and the adapters of the service, which the other units use too.
    """
    keys = ("unit", "environment_file", "served", "folders")
    former = "former" if service["state"] == "present" else "absent"
    items = [{key: unit[key] for key in keys} for unit in reversed(service["units"])]
    found = [{**{key: unit[key] for key in keys}, "state": former} for unit in service["former_units"]]
    found += [{**item, "state": service["state"]} for item in items]
    last = {"cache": service["cache"], "account": service["account"]["user"]}
    *others, main = found
    folders = [*main["folders"], service["files"]["root"], service["adapters_file"]]
    return [*({**item, **dict.fromkeys(last)} for item in others), {**main, **last, "folders": folders}]


def share_download(weights: Mapping[str, Any], stall_timeout: int) -> dict[str, Any]:
    """The settings for sharing in the download of weights: the source to copy from, or the directory for the export.

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
