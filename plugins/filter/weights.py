# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for weights that several hosts have. Documented in the .yml files beside this one."""

from __future__ import annotations

import hashlib
import typing as t

Values = t.Mapping[str, t.Any]


def weights_disagreements(plans: t.Sequence[Values], digests: t.Mapping[str, Values]) -> list[str]:
    """Return a sentence for each multi-node service whose hosts do not have the same weights.

    :param plans: C(plan_host) of each host of the run
    :param digests: for each host the digests of the manifests, by the path of the weights
    """
    held: dict[str, dict[str, list[str]]] = {}
    for plan in plans:
        for service in plan["services"]:
            if service["state"] == "present" and service.get("node"):
                # Of the model and of the extra repositories in its arguments.
                paths = dict.fromkeys([service["weights_path"], *(extra["path"] for extra in service.get("extra_repositories", []))])
                each = [digests.get(plan["host"], {}).get(path) or "no manifest" for path in paths]
                digest = "no manifest" if "no manifest" in each else _together(each)
                held.setdefault(service["name"], {}).setdefault(digest, []).append(plan["host"])
    return [
        f"{name}: " + ", ".join(f"{' and '.join(hosts)} {'have' if len(hosts) > 1 else 'has'} {_words(digest)}" for digest, hosts in found.items())
        for name, found in held.items() if len(found) > 1 or "no manifest" in found
    ]


def weights_prune_lines(found: Values, check: bool = False) -> list[str]:
    """Return a line for each of the weights that `weights_prune` found, with its size."""
    done = "would be removed" if check else "removed"
    gone = {one["path"] for one in found["removed"]}
    lines = [f"{done if one['path'] in gone else 'unused'}: {_size(one['bytes'])} {one['name']} in {one['path']}" for one in found["unused"]]
    lines += [
        f"{done if one['path'] in gone else 'unfinished, unused'}: {_size(one['bytes'])} {one['name']} in {one['path']}.partial"
        for one in found["unfinished"]
    ]
    lines += [f"kept: {_size(one['bytes'])} {one['name']}, as {one['why']}" for one in found["kept"]]
    total = sum(one["bytes"] for one in [*found["unused"], *found["unfinished"]] if one["path"] not in gone)
    return [*lines, f"{_size(total)} can be freed with -e weights_prune=true"] if total else lines or ["no weights here"]


def _size(count: int) -> str:
    """Bytes in GB, or in MB below 1 GB (10^9 and 10^6 bytes)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _together(digests: t.Sequence[str]) -> str:
    """One digest for several."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _words(digest: str) -> str:
    return digest if digest == "no manifest" else f"weights with the digest {digest[:12]}"


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "weights_disagreements": weights_disagreements,
            "weights_prune_lines": weights_prune_lines,
        }
