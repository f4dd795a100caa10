# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking a host out of service: all that is ours goes, and nothing else, wherever the inventory puts it."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import pwd

from pathlib import Path

import jinja2
import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.module_utils import _accounts, _host, _host_removal, _package_changes, _package_program, _systemd
from ansible_collections.inferops.gpu.plugins.module_utils._kernel import files as kernel_files
from ansible_collections.inferops.gpu.plugins.modules import host_removal

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="accounts are known by their numbers")
SERVICE, DOWNLOADS = 54321, 54322
ROLES = Path(__file__).resolve().parents[4] / "roles"
PROGRAM = "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)\n"


class Host:
    """A host on which a service was, with everything in folders that hold other things too."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.users = [
            pwd.struct_passwd(("inferops-a", "x", SERVICE, SERVICE, "inferops service a", "/", "/")),
            pwd.struct_passwd(("inferops", "x", DOWNLOADS, DOWNLOADS, "inferops model services", "/", "/")),
            pwd.struct_passwd(("somebody", "x", 1000, 1000, "Somebody", "/", "/")),
        ]
        monkeypatch.setattr(pwd, "getpwall", lambda: list(self.users))
        monkeypatch.setattr(_host, "UNIT_DIRECTORY", str(base / "units"))
        monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: "")
        monkeypatch.setattr(_systemd, "show", lambda unit, *properties: dict.fromkeys(properties, ""))
        monkeypatch.setattr(kernel_files, "FILES", (str(base / "90-inferops.conf"), str(base / "unmanaged.conf")))
        monkeypatch.setattr(_host_removal, "CERTIFICATES", str(base / "certificates" / "inferops-*.crt"))
        monkeypatch.setattr(_host_removal, "LINKED_CERTIFICATES", str(base / "linked" / "inferops-*.pem"))
        monkeypatch.setattr(_host_removal, "_TEMPORARY", (str(base / "run" / "inferops"),))
        monkeypatch.setattr(_host_removal, "_SYSTEM", ())
        monkeypatch.setattr(_host_removal, "remove_account", lambda name: self.users.remove(next(user for user in self.users if user.pw_name == name)))
        monkeypatch.setattr(host_removal, "firewall", lambda places: ([], []))
        self.commands: list[tuple[str, ...]] = []
        monkeypatch.setattr(host_removal, "run", lambda *command: self.commands.append(command))
        # Weights are looked for as their account.
        monkeypatch.setattr(_accounts, "as_account", lambda user, function, *arguments: function(*arguments))
        self.places = _host_removal.Places(
            config_dir=str(base / "etc"), install_dir=str(base / "usr-local"), releases_dir=str(base / "usr-local" / "releases"), state_dir=str(base / "state"),
            cache_dir=str(base / "cache"), uv_cache_dir=str(base / "cache" / "uv"), weights_dir=str(base / "state" / "models"),
            multi_node_ray_temp_dir=str(base / "ray"), mirror_dir=str(base / "mirror"), account="inferops", group="inferops", weights=False,
        )
        self.ours = [
            self.file("units/vllm-a.service", "# Managed by inferops.gpu (role model_service)."),
            self.file("units/inferops-weights-x.service", "# Managed by inferops.gpu (role weights)."),
            self.file("etc/a.env", "# Managed by inferops.gpu (role model_service)."),
            self.file("etc/weights.env", 'HF_TOKEN="t"'),
            self.file("etc/tokens/a", "0123456789abcdef" * 4 + "\n"),
            self.file("etc/adapters/a.json", '{"adapters": {"b": {"path": "/w/b"}}}'),
            self.file("usr-local/lib/span.py", PROGRAM),
            self.file("usr-local/lib/fetch_weights/__main__.py", PROGRAM),
            self.file("usr-local/lib/0123456789abcdef/__main__.py", PROGRAM),
            self.file("usr-local/lib/.new-0123456789abcdee/__main__.py", PROGRAM),
            self.link("usr-local/lib/current", "0123456789abcdef"),
            self.file("usr-local/tools/uv-0.1/bin/uv", ""),
            self.file("usr-local/releases/r1/release.json", json.dumps({"name": "r1"})),
            self.file("state/served/a.json", '{"unit_text": ""}'),
            self.file("state/served/a.previous", '[{"unit_text": ""}]'),
            self.file("state/failures/vllm-a/x/output.log", ""),
            self.file("cache/uv/wheel", ""),
            self.file("cache/a/triton/kernel", ""),
            self.file("ray/a/session/log", ""),
            self.file("90-inferops.conf", kernel_files.MARK),
            self.file("certificates/inferops-site.crt", ""),
            self.file("run/inferops/vllm-a.started", ""),
        ]
        os.symlink(base / "usr-local" / "tools" / "uv-0.1" / "bin" / "uv", self.folder("usr-local/bin") / "uv")
        self.ours.append(base / "usr-local" / "bin" / "uv")
        for path in ("cache/a", "ray/a", "state/failures/vllm-a"):
            os.chown(base / path, 0 if path == "ray/a" else SERVICE, SERVICE)
        self.others = [
            self.file("units/vllm-mine.service", "[Unit]"), self.file("units/ssh.service", "[Unit]"),
            self.file("etc/mine.env", "A=1"), self.file("usr-local/lib/mine.py", "print()"), self.file("usr-local/lib/python3/x.py", PROGRAM),
            self.file("usr-local/tools/mine/x", ""), self.file("usr-local/bin/mine", ""), self.file("usr-local/releases/mine/x", ""),
            self.file("state/mine", ""), self.file("cache/mine/x", ""), self.file("ray/mine/x", ""), self.file("unmanaged.conf", "a = 1"),
            self.file("certificates/site.crt", ""),
        ]
        self.weights = [
            self.file("state/models/o--m/main/x.safetensors", "x"),
            self.file("state/models/o--m/main.manifest.json", json.dumps({"files": [], "commit": "c", "repo": "o/m", "revision": "main"})),
        ]

    def folder(self, name: str) -> Path:
        (self.base / name).mkdir(parents=True, exist_ok=True)
        return self.base / name

    def file(self, name: str, text: str) -> Path:
        path = self.folder(os.path.dirname(name)) / os.path.basename(name) if "/" in name else self.base / name
        path.write_text(text)
        return path

    def link(self, name: str, target: str) -> Path:
        path = self.base / name
        path.symlink_to(target)
        return path

    def remove(self, check_mode: bool = False, **places: bool) -> host_removal.Removal:
        removal = host_removal.Removal(dataclasses.replace(self.places, **places), check_mode)
        removal.run()
        return removal


def there(paths: list[Path]) -> list[str]:
    return [path.name for path in paths if os.path.lexists(path)]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_all_that_is_ours_goes_and_nothing_else(host: Host) -> None:
    done = host.remove()
    assert there(host.ours) == [] and len(there(host.others)) == len(host.others) and len(there(host.weights)) == 2
    # Whoever owns weights stays with them.
    assert [user.pw_name for user in host.users] == ["inferops", "somebody"]
    left = "\n".join(done.left)
    assert "o--m/main (o/m, 0.0 GB): weights are kept, together with the account inferops" in left
    assert all(str(path) in left for path in (host.base / "etc" / "mine.env", host.base / "usr-local" / "lib" / "mine.py", host.base / "state" / "mine"))


@pytest.mark.parametrize(("packages", "command"), [
    ("prometheus\n", "disable --quiet --now prometheus.service"), ("", "restart prometheus.service"),
])
def test_programs_of_packages_lose_our_arguments(host: Host, monkeypatch: pytest.MonkeyPatch, packages: str, command: str) -> None:
    """Those of packages that the role has installed stop: with their packages' arguments they would listen on all addresses. The record goes last."""
    record, drop_in = host.file("inferops-packages", packages), host.file("units/prometheus.service.d/inferops.conf", "[Service]")
    monkeypatch.setattr(_host_removal, "_SYSTEM", (str(record), str(drop_in)))
    monkeypatch.setattr(_package_program, "RECORD", str(record))
    monkeypatch.setattr(_package_program, "PENDING", str(host.base / "pending"))
    monkeypatch.setattr(_package_changes, "changed_files", lambda packages: [])
    commands: list[str] = []
    monkeypatch.setattr(_systemd, "systemctl", lambda *arguments: commands.append(" ".join(arguments)))
    monkeypatch.setattr(_systemd, "show", lambda unit, *properties: {**dict.fromkeys(properties, ""), "LoadState": "loaded", "ActiveState": "active"})
    checked = host.remove(check_mode=True).removed
    assert drop_in.exists() and not [one for one in commands if "prometheus" in one]
    done = host.remove().removed
    assert [one for one in commands if "prometheus" in one] == [command] and there([record, drop_in, drop_in.parent]) == []
    assert "arguments of prometheus.service" in done and {str(record), str(drop_in)} <= set(checked) and set(checked) <= set(done)


def test_the_second_time_nothing_is_left_to_do(host: Host) -> None:
    host.remove()
    assert host.remove().removed == []


def test_with_weights(host: Host) -> None:
    host.remove(weights=True)
    assert there(host.weights) == [] and [user.pw_name for user in host.users] == ["somebody"]
    assert not (host.base / "state" / "models").exists() and len(there(host.others)) == len(host.others)


def test_accounts_of_services_go_before_the_group_that_they_are_in(host: Host) -> None:
    """A group that has a member is left alone, since it may be the host's."""
    assert _host_removal.accounts(dataclasses.replace(host.places, weights=True)) == ["inferops-a", "inferops"]


def test_trust_in_our_certificates_goes_with_them(host: Host) -> None:
    """Without being told to begin afresh, the command leaves links to files that are gone."""
    linked = host.file("linked/inferops-ca.pem", "")
    assert host.remove(check_mode=True).left and host.commands == []
    host.remove()
    assert host.commands == [("update-ca-certificates", "--fresh")]
    linked.unlink()
    host.remove()
    assert len(host.commands) == 1


def test_check_mode_says_the_same_and_does_nothing(host: Host) -> None:
    would = host.remove(check_mode=True).removed
    assert len(there(host.ours)) == len(host.ours) and len(host.users) == 3
    done = host.remove().removed
    # But for the folders that are empty only afterwards.
    emptied = [str(host.base / name) for name in ("etc/tokens", "etc/adapters", "state/served", "state/failures")]
    assert [line for line in done if line not in would] == emptied and set(would) <= set(done)


def test_folders_of_ours_alone_go_too(host: Host) -> None:
    for path in host.others:
        path.unlink()
    for path in ("usr-local/lib/python3", "usr-local/tools/mine", "usr-local/releases/mine", "cache/mine", "ray/mine"):
        (host.base / path).rmdir()
    host.remove(weights=True)
    assert sorted(path.name for path in host.base.iterdir()) == ["certificates", "run", "units"]


def test_a_link_in_the_place_of_a_folder_is_not_followed(host: Host) -> None:
    (host.base / "disk").mkdir()
    (host.base / "disk" / "x").write_text("")
    os.rename(host.base / "cache", host.base / "former")
    (host.base / "cache").mkdir()
    os.symlink(host.base / "disk", host.base / "cache" / "a")
    os.chown(host.base / "cache" / "a", SERVICE, SERVICE, follow_symlinks=False)
    host.remove()
    assert (host.base / "disk" / "x").exists() and not os.path.lexists(host.base / "cache" / "a")


STRANGERS = (
    "state/jobs/thesis.json", "state/progress/plot.csv", "state/firewall/rules.v4", "state/served/cake.json", "state/served/cake.previous",
    "state/verified/sums.json", "state/checked/list", "state/failures/vllm-mine/log", "etc/tokens/mine", "etc/adapters/mine.json", "etc/files/notes/list",
)


def test_what_others_keep_in_folders_of_the_same_names_stays(host: Host) -> None:
    """With C(host_state_dir: /data) somebody else may have a folder jobs there."""
    theirs = [host.file(name, "{}") for name in STRANGERS]
    left = "\n".join(host.remove(weights=True).left)
    assert there(theirs) == [path.name for path in theirs] and there(host.ours) == []
    assert [str(path) for path in theirs if str(path) not in left and str(path.parent) not in left] == []


def test_what_a_service_left_in_them_goes(host: Host) -> None:
    names = ("jobs/inferops-weights-x.service.json", "jobs/release-r1.status.json", "progress/inferops-weights-x.service.json", "firewall/former/boot")
    ours = [host.file(f"state/{name}", "{}") for name in names]
    ours += [host.file("state/served/.a.json.new", '{"unit'), host.file("state/checked/a", "0123456789abcdef"),
             host.file("state/verified/m.json", '{"path": "/m", "files": []}')]
    host.remove()
    assert there(ours) == [] and not (host.base / "state" / "jobs").exists()


def test_a_folder_of_roots_for_the_group_of_all_services_stays(host: Host) -> None:
    """With C(host_group: users) that is everybody's."""
    mine = host.file("cache/shared/x", "")
    os.chown(mine.parent, 0, DOWNLOADS)
    host.remove()
    assert there([mine]) == ["x"]


@pytest.mark.parametrize(("group", "gid", "members", "goes"), [
    ("inferops", 900, [], True), ("inferops", 901, [], False), ("inferops", 900, ["somebody"], False), ("video", 900, [], False),
])
def test_only_the_group_that_came_with_an_account_goes(monkeypatch: pytest.MonkeyPatch, group: str, gid: int, members: list[str], goes: bool) -> None:
    """C(host_group: video) is the host's, even where nobody is in it any more."""
    users, groups = {"inferops": pwd.struct_passwd(("inferops", "x", 900, 900, "inferops model services", "/", "/"))}, {group: (group, "x", gid, members)}
    done: list[str] = []
    monkeypatch.setattr(pwd, "getpwnam", lambda name: users[name])
    monkeypatch.setattr(pwd, "getpwall", lambda: list(users.values()))
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group(groups[name]))
    monkeypatch.setattr(_accounts, "delete", lambda name: users.pop(name))
    monkeypatch.setattr(_accounts, "delete_group", done.append)
    _host_removal.remove_account("inferops")
    assert users == {} and done == (["inferops"] if goes else [])


@pytest.mark.parametrize(("found", "made"), [
    ({}, True),
    ({"user": "inferops", "group": "inferops", "home": "/home", "comment": "inferops model services"}, True),
    ({"user": "inferops", "group": "inferops", "home": "/var/lib/inferops", "comment": "inferops model services"}, False),
    ({"user": "inferops", "group": "staff", "home": "/home/inferops", "comment": "Jane Doe"}, False),
    ({"user": "inferops", "group": "inferops", "home": "/var/lib/inferops", "comment": ""}, False),
])
def test_an_account_of_somebody_else_does_not_become_ours(found: dict[str, str], made: bool) -> None:
    """Our comment on it would have it go with us."""
    [task] = [row for row in yaml.safe_load((ROLES / "host" / "tasks" / "account.yml").read_text()) if "ansible.builtin.user" in row]
    wanted_account = {"user": "inferops", "group": "inferops", "home": "/var/lib/inferops", "comment": _host_removal.DOWNLOADS}
    known: dict[str, object] = {"plan_facts": {"account": found}, "__host_account": wanted_account}
    pending = yaml.safe_load((ROLES / "host" / "vars" / "main.yml").read_text())["__host_pending"]["account"]
    known["__host_pending"] = {"account": jinja2.Environment().compile_expression(pending.strip("{} "))(**known)}
    assert all(jinja2.Environment().compile_expression(text)(**known) for text in listed(task["when"])) == made


@pytest.mark.parametrize(("found", "made"), [
    (None, True), (["x", "900", "900", "inferops mirror of the Hugging Face Hub", "/", "/"], True), (["x", "1000", "1000", "Jane Doe", "/", "/"], False),
])
def test_nor_one_that_has_the_mirrors_name(found: list[str] | None, made: bool) -> None:
    [task] = [row for row in yaml.safe_load((ROLES / "weights_mirror" / "tasks" / "configure.yml").read_text()) if "ansible.builtin.user" in row]
    facts = {"ansible_facts": {"getent_passwd": {"m": found}}, "weights_mirror_user": "m", "__weights_mirror_comment": _host_removal.MIRROR}
    assert all(jinja2.Environment().compile_expression(text)(**facts) for text in listed(task.get("when", "true"))) == made


def test_accounts_bear_the_comments_that_are_looked_for() -> None:
    host, mirror = (yaml.safe_load((ROLES / role / "vars" / "main.yml").read_text()) for role in ("host", "weights_mirror"))
    assert (host["__host_account"]["comment"], mirror["__weights_mirror_comment"]) == (_host_removal.DOWNLOADS, _host_removal.MIRROR)


def listed(when: str | list[str]) -> list[str]:
    return [when] if isinstance(when, str) else when
