# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of the checkout, to spoil files in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def copy(target: Path) -> Path:
    """Copies what git tracks, and what is new and not ignored, with links to the tools and to what the lab keeps."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        source, made = ROOT / name, target / name
        if source.is_symlink() or source.is_file():
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, made, follow_symlinks=False)
    for name in (".venv", ".lab", ".cache"):
        if (ROOT / name).exists():
            (target / name).symlink_to((ROOT / name).resolve())
    # Some tests ask git for the files.
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    subprocess.run(["git", "add", "--all"], cwd=target, check=True, capture_output=True)
    return target
