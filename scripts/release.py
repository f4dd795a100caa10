#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a release: works out the version from the changelog fragments, sets it in galaxy.yml, and writes the changelog.

    scripts/release.py            make it
    scripts/release.py --dry-run  print the version and change nothing

A version that has no git tag yet is not published: the fragments are added to it. CONTRIBUTING.md says which sections raise which number.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GALAXY = ROOT / "galaxy.yml"
_VERSION = re.compile(r"^version: (\d+)\.(\d+)\.(\d+)$", re.MULTILINE)
_BREAKING = {"breaking_changes", "removed_features"}
_FEATURES = {"major_changes", "minor_changes", "deprecated_features"}


def next_version(version: tuple[int, int, int], sections: Iterable[str]) -> tuple[int, int, int]:
    """The version after this one. Below 1.0.0 a breaking change raises the second number.

    :param sections: sections of all fragments, such as V(bugfixes)
    """
    major, minor, patch = version
    found = set(sections)
    if found & _BREAKING and major > 0:
        return major + 1, 0, 0
    if found & (_BREAKING | _FEATURES):
        return major, minor + 1, 0
    return major, minor, patch + 1


def sections_of(fragments: Iterable[Path]) -> set[str]:
    """Sections that the fragments have."""
    return {section for path in fragments for section in yaml.safe_load(path.read_text(encoding="utf-8")) or {}}


def is_tagged(version: str) -> bool:
    """Whether git has a tag of this version, which says that it was published."""
    listed = subprocess.run(["git", "tag", "--list", version, f"v{version}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return bool(listed.stdout.strip())


def main(arguments: list[str]) -> int:
    """Exit status: 0, 1 when there is no fragment, or antsibull-changelog's."""
    text = GALAXY.read_text(encoding="utf-8")
    match = _VERSION.search(text)
    assert match is not None, "galaxy.yml has no version"
    fragments = sorted((ROOT / "changelogs" / "fragments").glob("*.y*ml"))
    if not fragments:
        print("changelogs/fragments/ is empty: there is nothing to release", file=sys.stderr)
        return 1
    current = ".".join(match.groups())
    version = current
    if is_tagged(current):
        version = ".".join(map(str, next_version((int(match[1]), int(match[2]), int(match[3])), sections_of(fragments))))
    print(f"{current} -> {version}: {len(fragments)} fragments")
    if "--dry-run" in arguments:
        return 0
    GALAXY.write_text(_VERSION.sub(f"version: {version}", text, count=1), encoding="utf-8")
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    more = ["--update-existing"] if version in releases else []
    return subprocess.run(["antsibull-changelog", "release", "--version", version, *more], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
