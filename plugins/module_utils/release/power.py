# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""uv's cache after a power cut.

uv syncs nothing to the disk, and does not verify again what it has unpacked into its cache. A file system may write the new name of a folder long
before the contents of its files (30 s on ext4), so a power cut during a build leaves packages with empty files in the cache, for all later builds.
Therefore a build marks the cache while it runs: a mark from before this boot means that the cache may have empty files.
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket

from .. import _reading, _writing

_MARK = ".inferops-building-"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def mark(cache: str, release: str) -> None:
    """Mark the cache: a build uses it. Raises OSError."""
    os.makedirs(cache, exist_ok=True)
    _writing.replace_json(_path(cache, release), _here(), durable=True)
    _writing.sync_filesystem(cache)


def unmark(cache: str, release: str) -> None:
    """Remove the mark of a build that has ended, after what it wrote is on the disk. Raises OSError."""
    # uv creates the cache, and some commands of uv remove it.
    if os.path.isdir(cache):
        _writing.sync_filesystem(cache)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(cache, release))


def interrupted(cache: str) -> bool:
    """Return whether a power cut, or another end of the kernel, interrupted a build of this host that used the cache."""
    here = _here()
    for path in glob.glob(os.path.join(glob.escape(cache), _MARK + "*")):
        found = _reading.read_json(path)
        # A power cut may tear the mark itself. A mark of another host that shares the cache says nothing about this one's boots.
        if not {"host", "boot"} <= set(found) or (found["host"] == here["host"] and found["boot"] != here["boot"]):
            return True
    return False


def _path(cache: str, release: str) -> str:
    return os.path.join(cache, f"{_MARK}{socket.gethostname()}-{release}")


def _here() -> dict[str, str]:
    with open(_BOOT_ID, encoding="ascii") as file:
        return {"host": socket.gethostname(), "boot": file.read().strip()}
