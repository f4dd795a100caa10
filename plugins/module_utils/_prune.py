# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights on a host that nobody needs: what there is, what keeps each, and its removal.

Only what this collection made is looked at: a directory with a manifest of ours beside it, and an unfinished download with our mark.
Whatever else lies there is somebody else's.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from . import _host, _safe_paths

MANIFEST = ".manifest.json"
PARTIAL = ".partial"
# What stands beside weights and goes with them (fetch, modules/weights_share).
BESIDE = (MANIFEST, PARTIAL, ".share", ".verified.json")


class Found(t.NamedTuple):
    """Weights on the disk. O(path) is what they have or will have; O(bytes) counts all that goes with them."""

    path: str
    repo: str
    revision: str
    bytes: int
    complete: bool


def find(directory: str) -> list[Found]:
    """Return the complete and unfinished weights below a directory, by path. Run it as the account that they belong to."""
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
    """Return a manifest of ours; None where there is none, or it is not one of ours."""
    try:
        manifest = json.loads(_safe_paths.read_bytes(path))
        return manifest if isinstance(manifest["files"], list) and isinstance(manifest["commit"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def total_size(path: str) -> int:
    """Return the bytes on the disk of weights and of what stands beside them; a file with several names counts once."""
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
    """Return the paths of weights below a directory that units or records name."""
    pattern = re.compile(re.escape(directory.rstrip("/")) + r"/[A-Za-z0-9._+@,=-]+/[A-Za-z0-9._+@,=-]+")
    return {strip_ending(path) for text in texts for path in pattern.findall(text)}


def strip_ending(path: str) -> str:
    """Return the path of the weights that something beside them belongs to."""
    for ending in BESIDE:
        if path.endswith(ending):
            return path[:-len(ending)]
    return path


def read_units() -> list[str]:
    """Return the text of each unit of a model service that this collection wrote."""
    texts = (_host.read_text(path) for path in sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, "vllm-*.service"))))
    return [text for text in texts if text.startswith(_host.UNIT_MARK)]


def read_records(state_dir: str) -> list[str]:
    """Return the text of what is kept of services that have passed their gate. Folders that an account may write are not looked into."""
    return [_safe_paths.read_text(path) for path in sorted(glob.glob(os.path.join(state_dir, "served", "*.json")))]


def open_paths(directory: str) -> set[str]:
    """Return the paths of weights that a process has open or mapped, or was started with."""
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
    """Take away the unit that downloaded some weights, which would start again at the next boot, and its specification. Raises OSError."""
    for job in sorted(glob.glob(os.path.join(state_dir, "jobs", "inferops-weights-*.service.json"))):
        try:
            about = json.loads(_host.read_text(job))
        except ValueError:
            continue
        if not isinstance(about, dict) or about.get("path") != path:
            continue
        forget_unit(os.path.basename(job)[:-len(".json")], state_dir)


def download_units() -> dict[str, bool]:
    """Return the units of downloads and verifications that this collection wrote, and of each whether it starts at boot."""
    paths = sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, "inferops-weights-*.service")))
    names = [os.path.basename(path) for path in paths if _host.read_text(path).startswith(_host.UNIT_MARK)]
    return {name: os.path.lexists(os.path.join(_host.UNIT_DIRECTORY, "multi-user.target.wants", name)) for name in names}


def forget_unit(unit: str, state_dir: str) -> None:
    """Stop and remove the unit of a download, if it is one of ours, and what it was told and said. Raises OSError."""
    unit_file = os.path.join(_host.UNIT_DIRECTORY, unit)
    if _host.read_text(unit_file).startswith(_host.UNIT_MARK):
        _host.run("systemctl", "disable", "--now", unit)
        remove_one(unit_file)
        _host.run("systemctl", "daemon-reload")
        _host.run("systemctl", "reset-failed", unit)
    remove_one(os.path.join(state_dir, "progress", f"{unit}.json"))
    remove_one(os.path.join(state_dir, "jobs", f"{unit}.json"))


def remove(path: str) -> None:
    """Remove weights with all that stands beside them. Run it as the account that they belong to. Raises OSError."""
    # The mark of completeness goes first: what is left after a kill is half done, and says so.
    for ending in (MANIFEST, ".verified.json", ".share"):
        remove_one(path + ending)
    if os.path.isdir(path) and not os.path.islink(path):
        # So that what a kill leaves behind is found again.
        remove_one(path + PARTIAL)
        os.rename(path, path + PARTIAL)
    remove_one(path + PARTIAL)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError:
        pass  # other revisions are there


def remove_one(path: str) -> None:
    """Remove a file or a directory if it is there."""
    _safe_paths.remove(path)
