# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples about file systems, downloads, weights and releases."""

from __future__ import annotations

import glob
import os
import typing as t

from .. import _host, _prune, _reading, _releases
from .._status import disks, jobs, texts
from .text import Sample


def file_systems(places: t.Mapping[str, str]) -> tuple[list[Sample], dict[str, str]]:
    """Return size and free space by what a file system holds, and by purpose why one did not answer.

    :param places: paths by their purpose
    """
    found, failed = disks.read(places)
    samples: list[Sample] = []
    for disk in found:
        for holds in disk["holds"]:
            own = {"holds": holds, "mountpoint": disk["mount"]}
            samples += [("inferops_filesystem_available_bytes", own, disk["free_bytes"]), ("inferops_filesystem_size_bytes", own, disk["size_bytes"])]
    return samples, failed


def downloads(state_dir: str) -> list[Sample]:
    """Return the downloads that run or have failed. Raises OSError when systemd does not answer."""
    found: list[Sample] = []
    for one in jobs.read(state_dir)["downloads"]:
        own = {"unit": one["unit"]}
        found.append(("inferops_download_running", own, float(one["state"] == "running")))
        found += [(f"inferops_download_{name}", own, one[name]) for name in ("bytes", "total_bytes") if one[name] is not None]
    return found


def weights(directory: str) -> list[Sample]:
    """Return the weights, complete ones by their manifests. Links and other files of the downloads' account are not followed."""
    found: list[Sample] = []
    pattern = os.path.join(glob.escape(directory), "*", "*" + _prune.MANIFEST)
    for path in sorted(glob.glob(pattern)):
        manifest = _prune.read_manifest(path)
        if manifest is None:
            continue
        folder = path[:-len(_prune.MANIFEST)]
        size = sum(texts.whole(file.get("size")) or 0 for file in manifest["files"] if isinstance(file, dict))
        found += _of_weights(folder, manifest.get("repo"), size, os.path.isdir(folder) and not os.path.islink(folder))
    for folder, size in _host.partial_weights(directory).items():
        found += _of_weights(folder, None, size, False)
    return found


def _of_weights(folder: str, repo: t.Any, size: int, is_complete: bool) -> list[Sample]:
    named = repo if isinstance(repo, str) else os.path.basename(os.path.dirname(folder)).replace("--", "/")
    own = {"repo": named, "revision": os.path.basename(folder)}
    return [("inferops_weights_bytes", own, size), ("inferops_weights_complete", own, float(is_complete))]


def releases(directory: str) -> list[Sample]:
    """Return the verified releases, and whether a unit uses each."""
    units = [_host.read_text(os.path.join(_host.UNIT_DIRECTORY, service["unit"])) for service in _host.read_services()]
    used = _releases.named_in(units, directory)
    found: list[Sample] = []
    for name in _releases.complete(directory):
        record = _reading.read_json(os.path.join(directory, name, _releases.RECORD))
        own = {"release": name, "engine": str(record.get("engine", "")), "version": str(record.get("version", ""))}
        found.append(("inferops_release_info", {**own, "in_use": str(name in used).lower()}, 1.0))
    return found
