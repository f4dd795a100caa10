# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems that services use, with their size and free space."""

from __future__ import annotations

import functools
import os
import typing as t

from .. import _host, _reading

# Seconds until a file system counts as hanging, such as NFS whose server is gone.
SECONDS = 5.0


def read(paths: t.Mapping[str, str]) -> tuple[list[dict[str, t.Any]], dict[str, str]]:
    """Return the file systems of these paths, each with what it holds, and by purpose why a path's file system did not answer.

    :param paths: paths by their purpose, for example C(weights)
    """
    found, failed = _reading.ask({purpose: functools.partial(_of, path) for purpose, path in paths.items()}, SECONDS)
    disks: dict[str, dict[str, t.Any]] = {}
    for purpose, disk in found.items():
        if disk is not None:
            disks.setdefault(disk["mount"], {**disk, "holds": []})["holds"].append(purpose)
    return [disks[mount] for mount in sorted(disks)], failed


def _of(path: str) -> dict[str, t.Any] | None:
    """Return the file system of a path, or of its nearest parent that exists."""
    real = os.path.realpath(path)
    while not os.path.lexists(real):
        real = os.path.dirname(real)
    mount = real
    while not os.path.ismount(mount):
        mount = os.path.dirname(mount)
    size = _host.mount_size(real)
    return None if size is None else {"mount": mount, "size_bytes": size["size_bytes"], "free_bytes": size["free_bytes"]}
