# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runbooks check the files that the programs read, which are the role's and not the packages'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("page", sorted((ROOT / "docs/runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_check_the_files_in_use(page: Path) -> None:
    paths = re.findall(r"/etc/prometheus/\S+\.yml", page.read_text(encoding="utf-8"))
    assert all(path.startswith("/etc/prometheus/inferops/") for path in paths), paths
