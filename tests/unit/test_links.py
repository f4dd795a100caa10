# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links of the checkout's Markdown files, those that the built collection leaves out included."""

from __future__ import annotations

import re
import subprocess

from pathlib import Path

import links
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_no_link_of_the_checkout_is_broken() -> None:
    listed = subprocess.run(["git", "ls-files", "--", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    pages = [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert len(pages) > 20
    assert list(links.broken(ROOT, pages)) == []


def test_paths_of_the_layout_are_there() -> None:
    """Rows of docs/layout.md about the checkout name files and folders that exist."""
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8").split("## On a host")[0]
    paths = re.findall(r"`((?:inventories|lab|meta|molecule|playbooks|plugins|roles|tests)/[\w./-]*)`", text)
    assert len(paths) > 30
    missing = [path for path in paths if not (ROOT / path).exists() and not path.startswith(("meta/argument_specs", "inventories/mine"))]
    assert missing == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One\n[a](a.md#one) [b](b.md) [c](a.md#two) [d](../d.md) [e](https://example.org) `[f](f.md)`\n", encoding="utf-8")
    assert list(links.broken(tmp_path)) == ["a.md: b.md", "a.md: a.md#two (no such heading)", "a.md: ../d.md"]
