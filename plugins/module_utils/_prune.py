# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unused weights on a host: find them, find out what keeps each of them, and remove them.

Only downloads of this collection count: directories with a manifest beside them, and unfinished downloads (.partial).
All other files are unmanaged.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from . import _adapters, _green, _host, _safe_paths

MANIFEST = ".manifest.json"
PARTIAL = ".partial"
# Endings of the files beside weights that are removed with them (fetch, modules/weights_share).
BESIDE = (MANIFEST, PARTIAL, ".share", ".verified.json")


class Found(t.NamedTuple):
    """Weights on the disk. O(path) is their present or future path; O(bytes) includes the files beside them."""

    path: str
    repo: str
    revision: str
    bytes: int
    complete: bool


def find(directory: str) -> list[Found]:
    """Return the complete and unfinished weights in a directory, by path. Has to run as their owner."""
    complete = {path[:-len(MANIFEST)] for path in glob.glob(os.path.join(directory, "*", "*" + MANIFEST))}
    begun = {path[:-len(PARTIAL)] for path in glob.glob(os.path.join(directory, "*", "*" + PARTIAL)) if os.path.isdir(path)}
    found = []
    for path in sorted(complete | begun):
        manifest = read_manifest(path + MANIFEST)
        if path in complete and manifest is None:
            continue
        revision = os.path.basename(path)
        repo = os.path.basename(os.path.dirname(path)).replace("--", "/")
        about = manifest or {}
        found.append(Found(path, about.get("repo", repo), about.get("revision", revision), total_size(path), path in complete and os.path.isdir(path)))
    return found


def read_manifest(path: str) -> dict[str, t.Any] | None:
    """Return a manifest of this collection; None when there is none, or it is not one."""
    try:
        manifest = json.loads(_safe_paths.read_bytes(path))
        return manifest if isinstance(manifest["files"], list) and isinstance(manifest["commit"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def total_size(path: str) -> int:
    """Return the disk usage of weights and the files beside them, in bytes; a file with several hard links counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for base in (path, *(path + ending for ending in BESIDE)):
        names = [base] if os.path.isfile(base) else [os.path.join(folder, name) for folder, _folders, files in os.walk(base) for name in files]
        for name in names:
            try:
                found = os.lstat(name)
            except OSError:
                continue
            sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def unit_paths(texts: t.Iterable[str], directory: str) -> set[str]:
    """Return the paths of weights in a directory that appear in units or records."""
    pattern = re.compile(re.escape(directory.rstrip("/")) + r"/[A-Za-z0-9._+@,=-]+/[A-Za-z0-9._+@,=-]+")
    return {strip_ending(path) for text in texts for path in pattern.findall(text)}


def strip_ending(path: str) -> str:
    """Return the path of the weights from the path of a file beside them."""
    for ending in BESIDE:
        if path.endswith(ending):
            return path[:-len(ending)]
    return path


def read_units() -> list[str]:
    """Return the text of each unit of a model service that this collection wrote."""
    texts = (_host.read_text(path) for path in sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, "vllm-*.service"))))
    return [text for text in texts if text.startswith(_host.UNIT_MARK)]


def read_adapters(unit_texts: t.Iterable[str]) -> list[str]:
    """Return the texts of the files with LoRA adapters that the engines of units follow. Does not follow links."""
    units = [*unit_texts, *(_host.read_text(_green.path_of(unit)) for unit in _green.units())]
    return [_safe_paths.read_text(path) for path in sorted({_adapters.file_of(text) for text in units} - {""})]


def read_records(state_dir: str) -> list[str]:
    """Return the texts of the last known good states of services. Does not follow links in folders that an account may write."""
    return [_safe_paths.read_text(path) for path in sorted(glob.glob(os.path.join(state_dir, "served", "*.json")))]


def open_paths(directory: str) -> set[str]:
    """Return the paths of weights that a process has open or mapped, or has in its command line."""
    found: set[str] = set()
    for process in glob.iglob("/proc/[0-9]*"):
        texts = [_host.read_text(f"{process}/cmdline").replace("\0", "\n"), _host.read_text(f"{process}/maps")]
        for link in glob.iglob(f"{process}/fd/*"):
            try:
                texts.append(os.readlink(link))
            except OSError:
                continue
        found |= unit_paths(texts, directory)
    return found


def forget_download(path: str, state_dir: str) -> None:
    """Remove the unit that downloads some weights, which would start again at the next boot, and its specification. Raises OSError."""
    for job in sorted(glob.glob(os.path.join(state_dir, "jobs", "inferops-weights-*.service.json"))):
        try:
            about = json.loads(_host.read_text(job))
        except ValueError:
            continue
        if not isinstance(about, dict) or about.get("path") != path:
            continue
        forget_unit(os.path.basename(job)[:-len(".json")], state_dir)


def download_units() -> dict[str, bool]:
    """Return the units of downloads and verifications that this collection wrote, and whether each starts at boot."""
    paths = sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, "inferops-weights-*.service")))
    names = [os.path.basename(path) for path in paths if _host.read_text(path).startswith(_host.UNIT_MARK)]
    return {name: os.path.lexists(os.path.join(_host.UNIT_DIRECTORY, "multi-user.target.wants", name)) for name in names}


def forget_unit(unit: str, state_dir: str) -> None:
    """Stop and remove the unit of a download, if it is managed, with its specification and status file. Raises OSError."""
    unit_file = os.path.join(_host.UNIT_DIRECTORY, unit)
    if _host.read_text(unit_file).startswith(_host.UNIT_MARK):
        _host.run("systemctl", "disable", "--now", unit)
        remove_one(unit_file)
        _host.run("systemctl", "daemon-reload")
        _host.run("systemctl", "reset-failed", unit)
    remove_one(os.path.join(state_dir, "progress", f"{unit}.json"))
    remove_one(os.path.join(state_dir, "jobs", f"{unit}.json"))


def remove(path: str) -> None:
    """Remove weights with the files beside them. Has to run as their owner. Raises OSError."""
    # The manifest first: without it the rest of an interrupted removal counts as incomplete.
    for ending in (MANIFEST, ".verified.json", ".share"):
        remove_one(path + ending)
    if os.path.isdir(path) and not os.path.islink(path):
        # So that the next run finds the rest of an interrupted removal.
        remove_one(path + PARTIAL)
        os.rename(path, path + PARTIAL)
    remove_one(path + PARTIAL)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # other revisions are there


def remove_one(path: str) -> None:
    """Remove a file or a directory if it exists."""
    _safe_paths.remove(path)
