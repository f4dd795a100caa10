# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of pre-staged weights. They are stored apart from the weights, which this collection never changes.

C(fetch/local.py) writes a record: path, revision, and for each file path, size, sha256 and mtime_ns.
"""

from __future__ import annotations

import glob
import json
import os
import typing as t

from . import _safe_paths


def verified_paths(state_dir: str) -> list[str]:
    """Return the paths of the weights whose files have not changed since their verification."""
    found = []
    for name in sorted(glob.glob(os.path.join(state_dir, "verified", "*.json"))):
        record = read_record(name)
        if record is not None and is_unchanged(record):
            found.append(record["path"])
    return found


def read_record(path: str) -> dict[str, t.Any] | None:
    """Return a record; None when there is none, or it is not readable: the weights are then verified again."""
    try:
        record = json.loads(_safe_paths.read_bytes(path))
        return record if isinstance(record["path"], str) and isinstance(record["files"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_unchanged(record: dict[str, t.Any]) -> bool:
    """Whether each file of a record still has its size and modification time."""
    try:
        return all(_stands(os.stat(os.path.join(record["path"], file["path"])), file) for file in record["files"])
    except (OSError, KeyError, TypeError):
        return False


def _stands(found: os.stat_result, file: dict[str, t.Any]) -> bool:
    return found.st_size == file["size"] and found.st_mtime_ns == file["mtime_ns"]
