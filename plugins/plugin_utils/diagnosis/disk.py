# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free space and inodes of the file systems that the host needs, and whether they can be written."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import error, warning

from .host import Findings, Host

GIB = 1024**3
# A file system is full below FULL bytes, and nearly full below NEARLY bytes if that is also less than PART of its size.
FULL, NEARLY, PART = GIB, 20 * GIB, 0.05
FULL_FILES, NEARLY_FILES = 1000, 20000


def check(host: Host) -> Findings:
    """Each file system once, with all that it holds."""
    paths = {"root": "/", **host.directories(), **{f"cache of {service['name']}": service["cache"] for service in host.services if service.get("cache")}}
    links: Mapping[str, str] = host.facts.get("paths", {})
    held: dict[str, list[str]] = {}
    mounts = {mount["mount"]: mount for mount in host.facts.get("mounts", ())}
    for name, path in paths.items():
        mount = mount_of(links.get(path, path), mounts)
        if mount:
            held.setdefault(mount, []).append(name)
    for mount, names in held.items():
        yield from judge(mounts[mount], names)


def judge(mount: Mapping[str, Any], names: list[str]) -> Findings:
    """One file system."""
    where = f"{mount['mount']} ({', '.join(names)})"
    free, files = mount.get("free_bytes"), mount.get("free_files")
    if "ro" in mount.get("options", ()):
        yield error("disk-read-only", f"the file system {where} is mounted read-only", f"findmnt {mount['mount']}; dmesg | grep -iE 'remount|i/o error' | tail")
    if isinstance(free, int) and free < FULL:
        yield error("disk-full", f"the file system {where} has {_size(free)} free", f"du -xh --max-depth=2 {mount['mount']} | sort -h | tail -n 20")
    elif isinstance(free, int) and free < min(NEARLY, PART * mount.get("size_bytes", 0)):
        yield warning("disk-nearly-full", f"the file system {where} has {_size(free)} free", f"du -xh --max-depth=2 {mount['mount']} | sort -h | tail -n 20")
    if isinstance(files, int) and files < NEARLY_FILES:
        cause = f"the file system {where} has {files} free inodes, so files cannot be created although there may be space"
        build = error if files < FULL_FILES else warning
        yield build("disk-inodes", cause, f"du -x --inodes --max-depth=3 {mount['mount']} | sort -n | tail -n 20")


def mount_of(path: str, mounts: Mapping[str, Any]) -> str:
    """The mount point that a path is in; empty when none is known."""
    hits = [mount for mount in mounts if path == mount or path.startswith(mount.rstrip("/") + "/")]
    return max(hits, key=len, default="")


def _size(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number / 1024**2:.0f} MiB"
