# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The version of a release follows from its fragments."""

from __future__ import annotations

import importlib.util
import re

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
assert _SPEC is not None and _SPEC.loader is not None
release = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(release)

BEFORE, AFTER = (0, 2, 3), (1, 2, 3)


@pytest.mark.parametrize(
    ("version", "sections", "wanted"),
    [
        (BEFORE, ["bugfixes"], (0, 2, 4)),
        (BEFORE, ["bugfixes", "minor_changes"], (0, 3, 0)),
        (BEFORE, ["removed_features"], (0, 3, 0)),
        (AFTER, ["security_fixes", "known_issues"], (1, 2, 4)),
        (AFTER, ["deprecated_features"], (1, 3, 0)),
        (AFTER, ["bugfixes", "breaking_changes", "minor_changes"], (2, 0, 0)),
    ],
)
def test_next_version(version: tuple[int, int, int], sections: list[str], wanted: tuple[int, int, int]) -> None:
    assert release.next_version(version, sections) == wanted


def test_sections_of_fragments(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("bugfixes: [x]\n", encoding="utf-8")
    (tmp_path / "b.yml").write_text("bugfixes: [y]\nminor_changes: [z]\n", encoding="utf-8")
    assert release.sections_of(tmp_path.iterdir()) == {"bugfixes", "minor_changes"}


def test_fragments_are_restructured_text() -> None:
    """The changelog is RST: Ansible's markup for documentation, such as C(name), would stand there as it is."""
    bad = [f"{path.name}: {found}" for path in (ROOT / "changelogs" / "fragments").glob("*.y*ml") for found in
           re.findall(r"\b[CVOIBMLUE]\([^)]*\)", path.read_text(encoding="utf-8"))]
    assert not bad, "write ``name``: " + ", ".join(bad)


def test_the_newest_release_of_the_changelog_is_the_version_of_the_collection() -> None:
    text = (ROOT / "galaxy.yml").read_text(encoding="utf-8")
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    version = yaml.safe_load(text)["version"]
    assert version in releases
    assert version == max(releases, key=lambda name: tuple(map(int, name.split("."))))
    assert release._VERSION.search(text)
