# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading a host's files and commands."""

from __future__ import annotations

import json
import os
import socket

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _host, _releases


def test_os_release() -> None:
    text = 'PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nVERSION_ID="24.04"\nID_LIKE=debian\n'
    assert _host.parse_os_release(text) == {"id": "ubuntu", "version_id": "24.04", "like": ["debian"]}


def test_packages_counts_only_what_is_installed() -> None:
    assert _host.parse_packages("ii  curl\nrc  vim\nhi  nvidia-driver-580\nun  g++\nii  curl\n") == ["curl", "nvidia-driver-580"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (json.dumps([{"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]}, {"ifname": "eth0", "addr_info": [{"local": "192.0.2.4"}, {}]}, {}]),
         {"lo": ["127.0.0.1"], "eth0": ["192.0.2.4"]}),
    ],
)
def test_addresses(text: str, expected: dict[str, list[str]]) -> None:
    assert _host.parse_addresses(text) == expected


def test_default_address_is_that_of_the_default_route() -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    other = "eth1 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
    default = "eth0 00000000 010011AC 0003 0 0 0 00000000 0 0 0\n"
    interfaces = {"eth0": ["192.0.2.4"], "eth1": ["192.0.2.9"]}
    assert _host.default_address(head + other + default, interfaces) == "192.0.2.4"
    assert _host.default_address(head + other, interfaces) == ""


def test_mount_names_lose_their_escapes() -> None:
    assert _host.unescape_mount(r"/mnt/big\040disk") == "/mnt/big disk"


def test_listeners_of_both_families() -> None:
    four = "head\n 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n" \
           " 1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n"
    assert _host.parse_listeners(four, socket.AF_INET) == [(8080, "127.0.0.1", "4711")]
    six = "head\n 0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 99 1\n"
    assert _host.parse_listeners(six, socket.AF_INET6) == [(22, "::", "99")]


def test_a_listener_of_our_own_is_found_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rows = [row for row in _host.read_listeners() if row["port"] == port]
    assert [(row["address"], row["pid"]) for row in rows] == [("127.0.0.1", os.getpid())]


def test_a_listener_that_ends_meanwhile_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that restarts: between the list of sockets and the look at the process, the process has gone, and its unit is unknown."""
    ended = {"port": 8001, "address": "0.0.0.0", "pid": 2**22 + 1, "unit": "", "program": ""}
    next_one = {**ended, "pid": os.getpid(), "unit": "vllm-a.service", "program": "vllm"}
    of_the_kernel = {**ended, "port": 2049, "pid": None}
    readings = iter([[ended, of_the_kernel], [next_one, of_the_kernel]])
    monkeypatch.setattr(_host, "_listeners", lambda protocol: next(readings))
    monkeypatch.setattr(_host, "READING_PAUSE_SECONDS", 0)
    assert _host.read_listeners() == [next_one, of_the_kernel]


def test_complete_releases_and_weights(tmp_path: Path) -> None:
    records = {"vllm-1": '{"name": "vllm-1"}', "copy": '{"name": "vllm-1"}', "empty": "", "unmanaged": "[]"}
    for name, record in records.items():
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "release.json").write_text(record, encoding="utf-8")
    (tmp_path / "releases" / ".building-vllm-2").mkdir()
    (tmp_path / "models" / "a--b" / "r1").mkdir(parents=True)
    (tmp_path / "models" / "a--b" / "r1.manifest.json").write_text('{"files": []}')
    (tmp_path / "models" / "a--b" / "r2.partial" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "a--b" / "r2.partial" / "deep" / "half").write_bytes(b"12345")
    # A manifest without its directory says nothing.
    (tmp_path / "models" / "a--b" / "r3.manifest.json").write_text('{"files": [{"path": "a", "size": 1}]}')
    assert _releases.complete(str(tmp_path / "releases")) == ["vllm-1"]
    assert _host.complete_weights(str(tmp_path / "models")) == [str(tmp_path / "models" / "a--b" / "r1")]
    assert _host.partial_weights(str(tmp_path / "models")) == {str(tmp_path / "models" / "a--b" / "r2"): 5}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"size": 5, "mtime_ns": 1000}, True),
        ({"size": 5}, True),
        ({"size": 6, "mtime_ns": 1000}, False),
        ({"size": 5, "mtime_ns": 1001}, False),
        ({"path": "gone", "size": 5}, False),
        ({"path": ""}, False),
    ],
)
def test_weights_that_changed_are_not_complete(tmp_path: Path, row: dict[str, Any], expected: bool) -> None:
    """By size and time of each file; an older manifest, without times, by size alone."""
    path = tmp_path / "a--b" / "r1"
    path.mkdir(parents=True)
    (path / "f").write_bytes(b"12345")
    os.utime(path / "f", ns=(0, 1000))
    (tmp_path / "a--b" / "r1.manifest.json").write_text(json.dumps({"files": [{"path": "f", **row}]}))
    assert (_host.complete_weights(str(tmp_path)) == [str(path)]) is expected


def test_tools_leaves_dead_links_out(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "uv").touch()
    (tmp_path / "bin" / "uv").symlink_to(tmp_path / "uv")
    (tmp_path / "bin" / "hf").symlink_to(tmp_path / "gone")
    assert _host.installed_tools(str(tmp_path)) == {"uv": str(tmp_path / "uv")}


def test_mounts_have_options_and_room() -> None:
    """Of the machine that the tests run on."""
    root = next(mount for mount in _host.read_mounts() if mount["mount"] == "/")
    assert {"rw", "ro"} & set(root["options"])
    assert root["free_files"] is None or root["free_files"] > 0


def test_paths_are_followed_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "opt").symlink_to(tmp_path / "disk")
    found = _host.linked_paths([f"{tmp_path}/opt/releases", f"{tmp_path}/disk", "relative", None, 7])
    assert found == {f"{tmp_path}/opt/releases": f"{tmp_path}/disk/releases"}


def test_pythons_of_the_host(tmp_path: Path) -> None:
    own = tmp_path / "python"
    own.write_text("#!/bin/sh\necho 3.12.4\n")
    own.chmod(0o755)
    found = _host.read_pythons(str(own))
    assert found[str(own)] == "3.12.4" and found["/usr/bin/python3"].startswith("3.")
    assert _host.read_pythons("/opt/none")["/opt/none"] == ""
    assert set(_host.read_pythons("3.12")) == set(_host.read_pythons(None))


def test_wheels_of_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_text("")
    assert _host.read_wheels([f"file://{tmp_path}", "https://user:secret@index.example/", f"{tmp_path}/none", 7]) == {str(tmp_path): ["a.whl"]}
    assert _host.read_wheels("garbage") == {}


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"])
def test_a_unit_holds_the_gpus_that_its_variable_names(name: str) -> None:
    assert _host.unit_holds(f"Environment={name}=4,5\n")["gpus"] == [4, 5]
    assert _host.unit_holds("Environment=OTHER=4,5\n")["gpus"] is None
