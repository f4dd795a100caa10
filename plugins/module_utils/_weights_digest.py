# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of weights from their manifests, or from the verification records of pre-staged weights."""

from __future__ import annotations

import hashlib
import json
import typing as t

from . import _safe_paths


def digests(weights: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Return a digest of size and sha256 of all files, by path of the weights. Runs as their owner."""
    found = {}
    for row in weights:
        try:
            files = json.loads(_safe_paths.read_bytes(row.get("record") or row["manifest"]))["files"]
            lines = sorted(f"{file['sha256']} {file['size']} {file['path']}\n" for file in files)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        found[row["path"]] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return found
