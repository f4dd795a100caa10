# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters about shared weights, links that are served, and what may be pruned."""

from __future__ import annotations

import json
import os
import pwd

from pathlib import Path
from typing import Any

import pytest

from ansible.module_utils import basic
from ansible_collections.inferops.gpu.plugins.filter import weights
from ansible_collections.inferops.gpu.plugins.module_utils import _accounts, _host, _local_weights, _prune, _safe_paths, _systemd, _weights_digest
from ansible_collections.inferops.gpu.plugins.modules import weights_folder, weights_share, weights_units

MANIFEST = {"repo": "a/b", "revision": "main", "commit": "c0ffee" * 6 + "c0ff", "files": [{"path": "sub/x.safetensors", "size": 3, "sha256": "0" * 64}]}


def plan(host: str, *services: tuple[str, Any]) -> dict[str, Any]:
    """The plan of a host with services of these names and nodes."""
    return {"host": host, "services": [{"name": name, "state": "present", "node": node, "weights_path": "/m"} for name, node in services]}


@pytest.mark.parametrize(
    ("digests", "said"),
    [
        ({"h1": {"/m": "aaa"}, "h2": {"/m": "aaa"}}, []),
        ({"h1": {"/m": "aaa"}, "h2": {"/m": "bbb"}}, ["big: h1 has weights with the digest aaa, h2 has weights with the digest bbb"]),
        ({"h1": {"/m": "aaa"}}, ["big: h1 has weights with the digest aaa, h2 has no manifest"]),
        ({}, ["big: h1 and h2 have no manifest"]),
    ],
)
def test_nodes_that_disagree(digests: dict[str, Any], said: list[str]) -> None:
    """Only multi-node services count."""
    plans = [plan("h1", ("big", {"rank": 0}), ("small", None)), plan("h2", ("big", {"rank": 1}), ("small", None))]
    assert weights.weights_disagreements(plans, digests) == said


def test_digests_tell_contents_and_sizes(tmp_path: Path) -> None:
    """The order of the files does not matter, nor where they came from."""

    def digest(*files: dict[str, Any]) -> str:
        (tmp_path / "manifest").write_text(json.dumps({"files": files, "endpoint": id(files)}), encoding="utf-8")
        return _weights_digest.digests([{"path": "/m", "manifest": str(tmp_path / "manifest"), "record": ""}])["/m"]

    one, two = {"path": "a", "size": 1, "sha256": "x"}, {"path": "b", "size": 2, "sha256": "y"}
    assert digest(one, two) == digest(two, one)
    assert len({digest(one, two), digest(one), digest(one, {**two, "sha256": "z"}), digest(one, {**two, "path": "c"})}) == 4


def test_links_of_complete_weights(tmp_path: Path) -> None:
    """In the shape of a Hub's addresses; none while there is no manifest."""
    about = {"path": str(tmp_path / "r"), "repo": "a/b", "manifest": str(tmp_path / "r.manifest.json")}
    assert weights_share.links_of(about) == {}
    (tmp_path / "r.manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    shown = tmp_path / "r.share/a/b/resolve" / str(MANIFEST["commit"]) / "sub/x.safetensors"
    assert weights_share.links_of(about) == {str(shown): str(tmp_path / "r/sub/x.safetensors")}


@pytest.mark.parametrize("row", [{"path": "../../etc/cron.d/x"}, {"path": "/etc/cron.d/x"}, {"path": "a\nb"}, {"path": 5}, {}])
def test_a_manifest_that_names_other_places(tmp_path: Path, row: dict[str, Any]) -> None:
    """The account of the services may have written it: root makes no link by such a name."""
    about = {"path": str(tmp_path / "r"), "repo": "a/b", "manifest": str(tmp_path / "r.manifest.json")}
    (tmp_path / "r.manifest.json").write_text(json.dumps({**MANIFEST, "files": [{"size": 3, "sha256": "0" * 64, **row}]}), encoding="utf-8")
    with pytest.raises(ValueError, match="is not a valid file name"):
        weights_share.links_of(about)


def test_a_manifest_that_is_none_tells_nothing(tmp_path: Path) -> None:
    """Of nodes that hold the same weights: it counts as not there, and the sentence says so."""
    texts = ["no JSON", "[]", "{}", '{"files": 5}', '{"files": [5]}', '{"files": [{"path": "a"}]}', "[" * 100_000]
    read = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.json").write_text(text, encoding="utf-8")
        read.append({"path": f"/m{number}", "manifest": str(tmp_path / f"{number}.json"), "record": ""})
    assert _weights_digest.digests(read) == {}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "does not exist"),
        ([], "has no config.json (it is empty)"),
        (["x.safetensors"], "has no config.json"),
        (["config.json"], "has no weights"),
        (["config.json", "x.safetensors"], ""),
    ],
)
def test_folders(tmp_path: Path, files: list[str] | None, said: str) -> None:
    """What is missing is told."""
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
    for name in files or []:
        (folder / name).write_text("", encoding="utf-8")
    found = weights_folder.error_of(str(folder), "")
    assert said in found and bool(said) == bool(found)
    assert bool(weights_folder.error_of(str(folder), "", model=False)) == (not files)
    assert "nothing is mounted" in weights_folder.error_of(str(folder), str(tmp_path))


def make(base: Path, manifest: Any = None, partial: bool = False) -> str:
    """Weights below a folder; their path."""
    folder = base.with_name(f"{base.name}.partial") if partial else base
    folder.mkdir(parents=True)
    (folder / "x.safetensors").write_bytes(b"x" * 100_000)
    if manifest is not None:
        base.with_name(f"{base.name}.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return str(base)


def test_only_ours_is_found(tmp_path: Path) -> None:
    """Directories without our manifest, and with somebody else's, are not looked at."""
    complete = make(tmp_path / "a--b" / "main", MANIFEST)
    # Served to peers: a second name of a file is not a second file.
    (tmp_path / "a--b" / "main.share").mkdir()
    (tmp_path / "a--b" / "main.share" / "x.safetensors").hardlink_to(Path(complete) / "x.safetensors")
    begun = make(tmp_path / "c--d" / "main", partial=True)
    make(tmp_path / "e--f" / "main")
    make(tmp_path / "g--h" / "main", {"hello": "world"})
    found = {one.path: one for one in _prune.find(str(tmp_path))}
    assert {path: (one.repo, one.complete) for path, one in found.items()} == {complete: ("a/b", True), begun: ("c/d", False)}
    assert all(100_000 <= one.bytes < 120_000 for one in found.values())


def test_removed_with_all_that_stands_beside_it(tmp_path: Path) -> None:
    """And nothing else; links that were served do not keep the space."""
    path = make(tmp_path / "models" / "a--b" / "main", MANIFEST)
    other = make(tmp_path / "models" / "a--b" / "v2", MANIFEST)
    (tmp_path / "models" / "a--b" / "main.share").mkdir()
    (tmp_path / "models" / "a--b" / "main.share" / "link").hardlink_to(Path(path) / "x.safetensors")
    (tmp_path / "jobs").mkdir()
    for name, about in (("main", path), ("v2", other)):
        (tmp_path / "jobs" / f"inferops-weights-{name}.service.json").write_text(json.dumps({"path": about}), encoding="utf-8")
    _prune.forget_download(path, str(tmp_path))
    _prune.remove(path)
    assert sorted(one.name for one in (tmp_path / "models" / "a--b").iterdir()) == ["v2", "v2.manifest.json"]
    assert [one.name for one in (tmp_path / "jobs").iterdir()] == ["inferops-weights-v2.service.json"]
    _prune.remove(other)
    assert not (tmp_path / "models" / "a--b").exists()


@pytest.fixture(name="units")
def _units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Units of downloads in a folder of their own, of which one is not ours; the commands of systemctl that were given."""
    folder, state, given = tmp_path / "units", tmp_path / "state", []
    (folder / "multi-user.target.wants").mkdir(parents=True)
    for name, mark in (("a", _host.UNIT_MARK), ("b", _host.UNIT_MARK), ("theirs", "# by hand")):
        unit = f"inferops-weights-{name}.service"
        (folder / unit).write_text(f"{mark} (role weights)\n", encoding="utf-8")
        (folder / "multi-user.target.wants" / unit).symlink_to(folder / unit)
        for kind in ("jobs", "progress"):
            (state / kind).mkdir(parents=True, exist_ok=True)
            (state / kind / f"{unit}.json").write_text("{}", encoding="utf-8")

    def run(*command: str) -> str:
        given.append(command)
        for unit in command[2:] if command[1] == "disable" else ():
            (folder / "multi-user.target.wants" / unit).unlink(missing_ok=True)
        return ""

    monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(folder))
    monkeypatch.setattr(_host, "run", run)
    return given


def run_module(monkeypatch: pytest.MonkeyPatch, check: bool = False, **parameters: Any) -> dict[str, Any]:
    """Run the module weights_units and return its result."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": {**parameters, "_ansible_check_mode": check}}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(basic.AnsibleModule, "exit_json", lambda self, **result: found.append(result))
    weights_units.main()
    return found[0]


@pytest.mark.parametrize("check", [True, False])
def test_downloads_that_do_not_start_again(tmp_path: Path, units: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    """A finished one is disabled, an unwanted one goes with what it was told; a second time there is nothing to do. What is not ours stays."""
    names = [f"inferops-weights-{name}.service" for name in ("a", "b", "theirs", "gone")]
    ask = {"disable": [names[0], names[2]], "remove": [names[1], names[2], names[3]], "state_dir": str(tmp_path / "state")}
    result = run_module(monkeypatch, check, **ask)
    assert (result["changed"], result["disabled"], result["removed"]) == (True, names[:1], names[1:2])
    left = sorted(path.name for path in (tmp_path / "units").glob("*.service"))
    assert left == sorted(names[:3] if check else [names[0], names[2]])
    assert _prune.download_units() == ({names[0]: True, names[1]: True} if check else {names[0]: False})
    assert sorted(path.name for path in (tmp_path / "state" / "jobs").iterdir()) == sorted(f"{name}.json" for name in left)
    if check:
        assert units == []
    else:
        assert ("systemctl", "disable", "--now", names[1]) in units
        assert run_module(monkeypatch, **ask)["changed"] is False


def test_paths_in_texts() -> None:
    """What a unit, a record or a process names, whichever part of the weights it is."""
    text = "serve /m/a--b/main --x\n/m/c--d/main.partial/x.safetensors (deleted)\n{'weights_path': '/m/e--f/r.1'}\n/n/g--h/main /m/short"
    assert _prune.unit_paths([text], "/m") == {"/m/a--b/main", "/m/c--d/main", "/m/e--f/r.1"}


def test_lines_to_read() -> None:
    """With sizes, and what could be freed."""
    row = {"path": "/m/a--b/r", "name": "a/b@r", "bytes": 2_500_000_000, "complete": True}
    found = {"unused": [row], "unfinished": [{**row, "bytes": 3_000_000, "path": "/m/c--d/r"}], "kept": [{**row, "why": "the plan wants it"}], "removed": []}
    assert weights.weights_prune_lines(found) == [
        "unused: 2.5 GB a/b@r in /m/a--b/r",
        "unfinished, unused: 3.0 MB a/b@r in /m/c--d/r.partial",
        "kept: 2.5 GB a/b@r, as the plan wants it",
        "2.5 GB can be freed with -e weights_prune=true",
    ]
    assert weights.weights_prune_lines({**found, "removed": [row]}, True)[0] == "would be removed: 2.5 GB a/b@r in /m/a--b/r"
    assert weights.weights_prune_lines({"unused": [], "unfinished": [], "kept": [], "removed": []}) == ["no weights here"]


NOBODY = pwd.getpwnam("nobody")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def reachable(path: Path) -> None:
    """Let everybody into pytest's folders, as they may into /var/lib."""
    for folder in (path, *path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)


def models_of(base: Path, uid: int) -> Path:
    """Models as the account of downloads has them, and beside them what is root's."""
    reachable(base)
    make(base / "models" / "a--b" / "main", MANIFEST | {"files": [{"path": "x.safetensors", "size": 100_000, "sha256": "0" * 64}]})
    for path in (base / "models", *(base / "models").rglob("*")):
        os.chown(path, uid, uid)
    (base / "etc").mkdir()
    (base / "etc" / "passwd").write_text("root", encoding="utf-8")
    return base / "models" / "a--b"


@AS_ROOT
@pytest.mark.parametrize("trick", ["link above", "link in the place", "paths in the manifest"])
def test_an_account_can_not_make_root_link_anywhere(tmp_path: Path, trick: str) -> None:
    """The links that peers are shown are made as the account: a planted link replaced a file of /etc, and a manifest names what it likes."""
    repo = models_of(tmp_path, NOBODY.pw_uid)
    etc = tmp_path / "etc"
    if trick == "link above":
        (repo / "main.share").symlink_to(etc)
    elif trick == "link in the place":
        (repo / "main.share" / "a" / "b" / "resolve").mkdir(parents=True)
        (repo / "main.share" / "a" / "b" / "resolve" / "c0ffee").symlink_to(etc)
    manifest = json.loads((repo / "main.manifest.json").read_text())
    manifest["files"] = [{"path": str(etc / "passwd") if trick == "paths in the manifest" else "passwd", "size": 1, "sha256": ""}]
    (repo / "main" / "passwd").write_text("evil", encoding="utf-8")
    os.chown(repo / "main" / "passwd", NOBODY.pw_uid, NOBODY.pw_gid)
    (repo / "main.manifest.json").write_text(json.dumps(manifest))
    row = {"path": str(repo / "main"), "repo": "a/b", "manifest": str(repo / "main.manifest.json")}
    try:
        _accounts.as_account("nobody", weights_share.show, [row], False)
    except OSError:
        pass
    assert (etc / "passwd").read_text() == "root" and [path.name for path in etc.iterdir()] == ["passwd"]


@AS_ROOT
def test_an_account_can_not_make_root_remove_anything(tmp_path: Path) -> None:
    """A repository's folder that is a link to somebody else's: what lies there is no weights of ours, whatever it is called."""
    models = models_of(tmp_path, NOBODY.pw_uid).parent
    for name in ("home.partial", "home"):
        (tmp_path / "etc" / name).mkdir()
    (models / "c--d").symlink_to(tmp_path / "etc")
    with pytest.raises(OSError, match="rm: cannot remove './home.partial': Permission denied"):
        _accounts.as_account("nobody", _prune.remove, str(models / "c--d" / "home"))
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["home", "home.partial", "passwd"]


@AS_ROOT
def test_what_is_the_accounts_own_is_removed_as_the_account(tmp_path: Path) -> None:
    """Whole folders too: a process that became another account may not look into its parent's or its own numbered folder below /proc."""
    models = models_of(tmp_path, NOBODY.pw_uid).parent
    assert _accounts.as_account("nobody", _safe_paths.remove, str(models / "a--b" / "main"))
    assert [path.name for path in (models / "a--b").iterdir()] == ["main.manifest.json"]


@AS_ROOT
def test_work_as_an_account_has_nothing_of_roots(tmp_path: Path) -> None:
    """Neither its id nor its groups; what goes wrong is told."""
    reachable(tmp_path)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(OSError, match="Permission denied"):
        _accounts.as_account("nobody", lambda path: Path(path).read_text(), str(tmp_path / "secret"))
    assert _accounts.as_account("nobody", lambda: [os.getresuid(), os.getresgid(), 0 in os.getgroups()]) == [
        [NOBODY.pw_uid] * 3, [NOBODY.pw_gid] * 3, False,
    ]
    with pytest.raises(KeyError):
        _accounts.as_account("no-such-account", list)


def test_what_is_planted_among_records_and_progress_is_not_read(tmp_path: Path) -> None:
    """A fifo would keep root's module for ever, and what progress says is shown."""
    (tmp_path / "verified").mkdir()
    (tmp_path / "served.json").write_text('{"text": "a key", "path": "/m", "files": []}')
    os.mkfifo(tmp_path / "verified" / "a.json")
    (tmp_path / "verified" / "b.json").symlink_to(tmp_path / "served.json")
    assert _local_weights.verified_paths(str(tmp_path)) == []
    for name in ("a.json", "b.json"):
        assert _systemd.read_progress(str(tmp_path / "verified" / name)) == {}
