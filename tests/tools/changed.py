#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that differ from the commit that a branch started from: committed since, uncommitted, or new and not ignored.

    tests/tools/changed.py             a line for each
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Names of the branch that everything is merged into, the first that exists.
_MAIN = ("origin/main", "main")


@dataclass(frozen=True)
class Changes:
    """Paths relative to the checkout, and the commit that they are compared with."""

    base: str
    paths: tuple[str, ...]


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def _exists(root: Path, name: str) -> bool:
    return subprocess.run(["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"], cwd=root, capture_output=True, check=False).returncode == 0


def changes(root: Path, base: str = "") -> Changes:
    """What changed in the checkout at O(root), deleted files included.

    :param base: the commit to compare with, by default what C(BASE) in the environment names; else the merge base with main, else HEAD
    :raises subprocess.CalledProcessError: git does not know the base, or O(root) is no checkout
    """
    named = base or os.environ.get("BASE", "")
    if not named:
        main = next((name for name in _MAIN if _exists(root, name)), "HEAD")
        named = _git(root, "merge-base", "HEAD", main).strip()
    # --no-renames: the former path counts as well.
    differ = _git(root, "diff", "--name-only", "--no-renames", "-z", named)
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return Changes(named, tuple(sorted({path for path in (differ + new).split("\0") if path})))


if __name__ == "__main__":
    made = changes(Path(__file__).resolve().parents[2])
    print(f"compared with {made.base[:12]}", file=sys.stderr)
    sys.stdout.writelines(f"{path}\n" for path in made.paths)
