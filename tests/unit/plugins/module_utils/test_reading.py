# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts of a host come to an end, whatever lies in its folders and whoever does not answer."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _host, _reading

JOBS: dict[str, Any] = {
    "first": lambda: [1],
    "raises": lambda: {}["x"],
    "hangs": lambda: time.sleep(600),
    "after it": lambda: {"a": "é"},
    "dies": lambda: os._exit(3),
    "is no JSON": lambda: {1, 2},
    "large": lambda: "x" * 3_000_000,
}


def test_each_for_itself() -> None:
    """What hangs, raises or dies is told, and takes nothing else along."""
    found, failed = _reading.ask(JOBS, 1)
    assert list(found) == ["first", "after it", "large"] and found["after it"] == {"a": "é"} and len(found["large"]) == 3_000_000
    assert failed["raises"] == "KeyError: 'x'" and failed["hangs"] == "it did not answer within 1 s" and failed["dies"] == "its process has ended"
    assert "is no JSON" in failed


def test_nothing_to_do() -> None:
    assert _reading.ask({}, 1) == ({}, {})


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with all that may lie in one."""
    (tmp_path / "good.crt").write_bytes(b"text")
    (tmp_path / "dangling.crt").symlink_to("/nowhere")
    (tmp_path / "round.crt").symlink_to("round.crt")
    (tmp_path / "endless.crt").symlink_to("/dev/zero")
    (tmp_path / "folder.crt").mkdir()
    os.mkfifo(tmp_path / "pipe.crt")
    with (tmp_path / "huge.crt").open("wb") as file:
        file.truncate(2 * _reading.LONGEST)
    return tmp_path


def test_certificates(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dangling link ended the facts, and with them the run."""
    monkeypatch.setattr(_reading, "LONGEST", 1024 * 1024)
    (strange / "huge.crt").write_bytes(b"x" * 2 * 1024 * 1024)
    (strange / "trusted").write_text("other\ntext\n")
    assert _host.added_certificates(str(strange), str(strange / "trusted")) == {"good.crt": hashlib.sha256(b"text").hexdigest()}


@pytest.mark.parametrize("bundle", ["", "other\n", None])
def test_a_certificate_that_is_not_trusted_yet(tmp_path: Path, bundle: str | None) -> None:
    """A run that ended before C(update-ca-certificates) left the host without it for good."""
    (tmp_path / "good.crt").write_text("text\n")
    if bundle is not None:
        (tmp_path / "trusted").write_text(bundle)
    assert _host.added_certificates(str(tmp_path), str(tmp_path / "trusted")) == {}


@pytest.mark.parametrize("name", ["dangling.crt", "round.crt", "endless.crt", "folder.crt", "pipe.crt", "missing"])
def test_no_text(strange: Path, name: str) -> None:
    assert _reading.read_text(str(strange / name)) == ""


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A name is bytes to Linux, and text to JSON."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.crt")).write_text("text")
    (tmp_path / "trusted").write_text("text\n")
    found = _reading.clean(_host.added_certificates(str(tmp_path), str(tmp_path / "trusted")))
    assert list(found) == ["caf\N{REPLACEMENT CHARACTER}.crt"]
    assert _reading.clean({"a": ["é", ("b", 1, None)]}) == {"a": ["é", ["b", 1, None]]}


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /mnt/dead nfs4 rw,hard 0 0
server:/other /mnt/live nfs rw 0 0
s3fs /mnt/bucket fuse.s3fs rw 0 0
cut off
"""


def test_a_mount_whose_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """statvfs(2) of it waits for ever; the others are known all the same."""
    plain = os.statvfs("/")

    def statvfs(path: str) -> os.statvfs_result:
        if path in ("/mnt/dead", "/mnt/bucket"):
            time.sleep(600)
        return plain

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(_host, "MOUNT_SECONDS", 0.5)
    monkeypatch.setattr(_host, "read_text", lambda path: MOUNTS)
    found, silent = _host.ask_mounts()
    assert [entry["mount"] for entry in found] == ["/", "/mnt/live"]
    assert silent == {"/mnt/dead": "it did not answer within 0.5 s", "/mnt/bucket": "it did not answer within 0.5 s"}


def test_a_download_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files come and go while their sizes are read."""
    (tmp_path / "model" / "r.partial").mkdir(parents=True)
    (tmp_path / "model" / "r.partial" / "a").write_text("12345")
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda path: [(top, folders, [*names, "gone"]) for top, folders, names in walk(path)])
    monkeypatch.setattr(os.path, "lexists", lambda path: True)
    assert list(_host.partial_weights(str(tmp_path)).values()) == [5]


def test_a_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "RUN_SECONDS", 0.3)
    assert _host.run("sleep", "600") == ""
    assert _host.run("printf", "\\303\\050") == "\N{REPLACEMENT CHARACTER}("
    assert _host.run("false") == _host.run("/nowhere") == ""


ADDRESSES = """[
 {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "scope": "host"}, {"family": "inet6", "local": "::1", "scope": "host"}]},
 {"ifname": "eth0", "addr_info": [
  {"family": "inet6", "local": "2001:db8::9", "scope": "global", "temporary": true}, {"family": "inet6", "local": "2001:db8::1", "scope": "global"},
  {"family": "inet6", "local": "2001:db8::8", "scope": "global", "deprecated": true}, {"family": "inet6", "local": "fe80::1", "scope": "link"},
  {"family": "inet", "local": "10.0.0.1", "scope": "global"}]},
 {"ifname": "dummy0"}
]"""
ROUTES = (
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
    "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000009 00000400 00000001 00000000 00450003     eth0\n"
)


def test_addresses_of_ipv6() -> None:
    """Those that others reach, behind those of IPv4; not what changes by itself."""
    found = _host.parse_addresses(ADDRESSES)
    assert found == {"lo": ["127.0.0.1"], "eth0": ["10.0.0.1", "2001:db8::1"], "dummy0": []}
    assert _host.default_address_v6(ROUTES, found) == "2001:db8::1"
    assert _host.default_address_v6(ROUTES.splitlines()[0], found) == ""


def test_the_facts_of_this_host(strange: Path) -> None:
    """The module itself, over folders that would hold it."""
    (strange / "org--m").mkdir()
    os.mkfifo(strange / "org--m" / "r.manifest.json")
    (strange / "releases" / "r").mkdir(parents=True)
    os.mkfifo(strange / "releases" / "r" / "release.json")
    code = (
        "import json; from ansible_collections.inferops.gpu.plugins.module_utils import _host, _reading, _releases; "
        f"print(json.dumps(_reading.ask({{'weights': lambda: _host.complete_weights({str(strange)!r}), "
        f"'releases': lambda: _releases.complete({str(strange / 'releases')!r})}}, 2)))"
    )
    root = Path(__file__).resolve().parents[4]
    environment = {**os.environ, "PYTHONPATH": str(root / "collections")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert '"weights": []' in done.stdout and '"releases": "it did not answer within 2 s"' in done.stdout, done.stderr
