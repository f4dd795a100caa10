# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run takes place: versions, the user, and the commits of the checkouts that it reads."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import socket
import subprocess

from pathlib import Path
from typing import Any, Iterable

COLLECTION = Path(__file__).resolve().parents[3]
# Seconds for each call of git, which may wait for a network file system.
_GIT_SECONDS = 5


def user() -> str:
    """The user of this process; its number if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"


def controller() -> str:
    """The host name of the controller."""
    return socket.gethostname()


def version(root: Path = COLLECTION) -> str:
    """The version of this collection, from the file of an installation or of a checkout."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((root / "MANIFEST.json").read_text(encoding="utf-8"))["collection_info"]["version"])
    with contextlib.suppress(OSError):
        found = re.search(r"^version: *['\"]?([\w.+-]+)", (root / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return "unknown"


def commits(paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By checkout: its commit, and whether files that git tracks have changed since. Paths outside of a checkout are left out."""
    found: dict[str, dict[str, Any]] = {}
    for folder in dict.fromkeys(path if os.path.isdir(path) else os.path.dirname(path) for path in paths):
        said = _git(folder, "rev-parse", "--show-toplevel", "HEAD").split("\n")
        if len(said) == 2 and said[0] not in found:
            changed = _git(said[0], "status", "--porcelain", "--untracked-files=no")
            found[said[0]] = {"commit": said[1], "modified": bool(changed)}
    return found


def _git(folder: str, *arguments: str) -> str:
    """The output of git; empty if there is no git, no checkout, or no answer."""
    # git status would write the index otherwise.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", folder or ".", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_GIT_SECONDS, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
