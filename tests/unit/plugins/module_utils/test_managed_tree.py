# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that belong together: all are checked before any is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _managed_tree as tree
from ansible_collections.inferops.gpu.plugins.modules import managed_tree

SECRET = "s3cr3t-value"


def files(**texts: str) -> dict[str, tree.File]:
    return {name.replace("__", "/"): tree.File(text.encode(), 0o644, os.geteuid(), os.getegid()) for name, text in texts.items()}


def write(folder: Path, wanted: dict[str, tree.File], prune: bool = True) -> tree.Difference:
    found = tree.compare(str(folder), wanted, prune)
    tree.apply(str(folder), wanted, found)
    return found


def test_files_are_written_once(tmp_path: Path) -> None:
    """Those in folders first, since others name them."""
    wanted = files(a="1", rules__b="2", rules__deep__c="3")
    found = write(tmp_path / "new", wanted)
    assert found.write == ("rules/b", "rules/deep/c", "a") and not write(tmp_path / "new", wanted)
    assert (tmp_path / "new" / "rules" / "b").stat().st_mode & 0o777 == 0o644 and tree.existing(str(tmp_path / "new")) == ["a", "rules/b", "rules/deep/c"]


def test_what_is_not_wanted_goes(tmp_path: Path) -> None:
    """With its folder; nothing without prune."""
    write(tmp_path, files(a="1", old__b="2", keys__k="3"))
    assert not write(tmp_path, files(a="1"), prune=False)
    found = write(tmp_path, files(a="1", keys__k="3"))
    assert found.remove == ("old/b",) and not (tmp_path / "old").exists() and (tmp_path / "keys" / "k").exists()


def test_empty_folders_of_others_stay(tmp_path: Path) -> None:
    """The collector's settings are in the directory of the configuration, which has folders of other roles."""
    for name in ("adapters", "tokens/inner"):
        (tmp_path / name).mkdir(parents=True)
    write(tmp_path, files(metrics="1", old__deep__b="2", old__c="3"))
    write(tmp_path, files(metrics="2"), prune=False)
    assert (tmp_path / "adapters").is_dir() and (tmp_path / "tokens" / "inner").is_dir()
    write(tmp_path, files(metrics="2", old__c="3"))
    assert not (tmp_path / "old" / "deep").exists() and (tmp_path / "old" / "c").exists() and (tmp_path / "adapters").is_dir()
    write(tmp_path, files(metrics="2"))
    assert not (tmp_path / "old").exists()


def test_files_outside_of_certain_folders_stay(tmp_path: Path) -> None:
    write(tmp_path, files(a="1", targets__b="2", own__c="3"))
    assert tree.compare(str(tmp_path), files(a="1"), prune_in=("targets",)).remove == ("targets/b",)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A new and an empty one are not, nor one with the marker."""
    marker = str(tmp_path / "own" / ".mark")
    managed_tree.check_marker(str(tmp_path / "own"), marker)
    (tmp_path / "own").mkdir()
    managed_tree.check_marker(str(tmp_path / "own"), marker)
    (tmp_path / "own" / "prometheus.yml").touch()
    with pytest.raises(ValueError, match="a new or an empty one"):
        managed_tree.check_marker(str(tmp_path / "own"), marker)
    tree.mark(marker)
    managed_tree.check_marker(str(tmp_path / "own"), marker)


def test_a_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    write(tmp_path / "own", files(a="1"))
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_mode_and_links_count(tmp_path: Path) -> None:
    """A link in place of a file is replaced, and what it points to is not written."""
    wanted = files(a="1", b="2")
    write(tmp_path, wanted)
    other = tmp_path.parent / "other"
    other.write_text("1", encoding="utf-8")
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to(other)
    (tmp_path / "b").chmod(0o666)
    assert write(tmp_path, wanted).write == ("a", "b")
    assert not (tmp_path / "a").is_symlink() and other.read_text(encoding="utf-8") == "1" and (tmp_path / "b").stat().st_mode & 0o777 == 0o644


def test_all_are_checked_together() -> None:
    tree.validate(files(a="1", rules__b="2"), [["/bin/sh", "-c", 'test -f "{folder}/a" -a -f "{folder}/rules/b"']])
    with pytest.raises(tree.Invalid, match="refuses them, so nothing was changed: a is bad"):
        tree.validate(files(a="1"), [["/bin/sh", "-c", "echo {folder}/a is bad; exit 1"]])
    tree.validate(files(a="1"), [["no-such-program", "{folder}"]])


def test_no_secret_in_an_error() -> None:
    wanted = {"a": tree.File(f"url: {SECRET}".encode(), 0o600, os.geteuid(), os.getegid(), True)}
    with pytest.raises(tree.Invalid) as raised:
        tree.validate(wanted, [["/bin/sh", "-c", "cat {folder}/a; exit 1"]])
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", ""])
def test_paths_outside(path: str) -> None:
    with pytest.raises(ValueError, match="not a path in the directory"):
        managed_tree.wanted_files({path: "x"}, {}, "root", False)


def test_the_owner_of_secrets() -> None:
    assert managed_tree.wanted_files({}, {"a": "x"}, "root", False)["a"].mode == 0o600
    with pytest.raises(ValueError, match="does not exist"):
        managed_tree.wanted_files({}, {"a": "x"}, "no-such-account", False)
    # In check mode the package with the account may not be installed yet.
    assert managed_tree.wanted_files({}, {"a": "x"}, "no-such-account", True)["a"].secret
