# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an administrator has changed about packages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host, _package_changes


def test_configuration_files(tmp_path: Path) -> None:
    """Changed and removed ones count; obsolete ones and those that dpkg has not installed yet do not."""
    same, changed = tmp_path / "same", tmp_path / "changed"
    for path in (same, changed):
        path.write_text("x", encoding="utf-8")
    digest = hashlib.new("md5", b"x", usedforsecurity=False).hexdigest()
    changed.write_text("y", encoding="utf-8")
    listed = f" {same} {digest}\n {changed} {digest}\n {tmp_path}/gone {digest}\n {tmp_path}/old {digest} obsolete\n {tmp_path}/new newconffile\n\n"
    assert _package_changes.differing(listed) == [str(changed), f"{tmp_path}/gone"]


def test_units(tmp_path: Path) -> None:
    """This collection's own drop-in is none of an administrator."""
    (tmp_path / "a.service.d").mkdir()
    for name in ("inferops.conf", "mine.conf", "note.txt"):
        (tmp_path / "a.service.d" / name).touch()
    (tmp_path / "b.service").touch()
    assert _package_changes.changed_units(["a.service", "b.service", "c.service"], str(tmp_path)) == [f"{tmp_path}/a.service.d/mine.conf", f"{tmp_path}/b.service"]


def test_packages_that_are_not_installed() -> None:
    assert _package_changes.installed(["no-such-package-of-anybody"]) == [] and _package_changes.changed_files(["no-such-package-of-anybody"]) == []


def test_one_package_that_dpkg_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """dpkg-query then fails for all that it is asked about; the others are an administrator's all the same."""
    known = {"prometheus": "ii ", "removed": "rc "}

    def run(*command: str) -> str:
        names = command[3:]
        return "".join(command[2].removeprefix("--showformat=").replace("${db:Status-Abbrev}", known[name]).replace("${Package}", name) for name in names) \
            if set(names) <= set(known) else ""

    monkeypatch.setattr(_host, "run", run)
    assert _package_changes.installed(["prometheus", "prometheus-blackbox-exporter", "removed"]) == ["prometheus"]
