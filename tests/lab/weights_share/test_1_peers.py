# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Peers: one host asks the origin, the others copy from it as it goes; and what becomes of them when it dies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fleet import CONVERGE, HOME, HOSTS, SHARE, UNIT, Fleet, ask, command, here, play
from lab import ENVIRONMENT, ROOT, wait_until

# The host that downloads fetches a byte to see where the data comes from.
PROBE = 1


@pytest.mark.parametrize("nodes", [1, 4])
def test_the_origin_sends_each_byte_once(fleet: Fleet, nodes: int) -> None:
    """However many hosts there are. Afterwards nothing is served any more."""
    names = HOSTS[:nodes]
    fleet.forget(*names)
    done = play(CONVERGE, "-l", ",".join(names))
    assert done.status == 0, done.output
    total = fleet.check(*names)
    assert sum(fleet.sent().values()) <= total + PROBE
    for name in names:
        assert not fleet.hosts[name].file(f"/etc/systemd/system/{SHARE}").exists
        assert fleet.hosts[name].run("ss -Hltn sport = :8790").stdout == ""


def test_a_new_host_copies_from_one_that_has_them(fleet: Fleet) -> None:
    """The first of the inventory has nothing, and the origin is not asked for any file."""
    fleet.forget("lab-gpu1")
    done = play(CONVERGE, "-l", "lab-gpu1,lab-gpu2,lab-gpu3")
    assert done.status == 0, done.output
    fleet.check("lab-gpu1", "lab-gpu2")
    assert fleet.sent() == {}
    assert "copying from lab-gpu2" in fleet.journal("lab-gpu1")


def test_a_wrong_byte_is_seen_by_who_copies(fleet: Fleet) -> None:
    """It verifies by the Hub's hashes, not by what the peer believes; what the peer has wrong comes from the origin."""
    fleet.forget("lab-gpu1")
    bad = f"{HOME}/main/model-00003-of-00006.safetensors"
    fleet.hosts["lab-gpu2"].run_expect([0], f"touch -r {bad} /tmp/time; printf x | dd of={bad} bs=1 seek=5 conv=notrunc; touch -r /tmp/time {bad}")
    try:
        done = play(CONVERGE, "-l", "lab-gpu1,lab-gpu2")
        assert done.status == 0, done.output
        fleet.check("lab-gpu1")
        assert {name.rpartition("/")[2] for name in fleet.sent()} == {"model-00003-of-00006.safetensors"}
    finally:
        fleet.forget("lab-gpu2")


def test_the_host_that_downloads_dies(fleet: Fleet, tmp_path: Path) -> None:
    """The others wait for as long as weights_share_stall_timeout says and go on with the origin, keeping what they have. Strangers get nothing."""
    names = HOSTS[:3]
    fleet.forget(*names)
    # A shard takes some forty seconds, so that the host that downloads is far from done when it dies, also where a busy controller is slow to
    # start the others.
    ask("POST", "settings", {"rate": 200_000})
    first = fleet.hosts["lab-gpu1"]
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command(CONVERGE, "-l", ",".join(names), weights_share_stall_timeout=8),
            cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )
    shard = f"{HOME}/main.partial/model-0000*"
    wait_until(lambda: fleet.hosts["lab-gpu2"].run(f"ls {shard}").stdout, 300, "the first shard is being copied")
    address = f"http://{ENVIRONMENT['LAB_NETWORK']}.11:8790"
    stranger = fleet.hosts["lab-cache"].run(f"python3 -c \"import urllib.request; urllib.request.urlopen('{address}/progress/{UNIT}.json')\"")
    assert "403" in stranger.stderr
    first.run_expect([0], f"systemctl stop --no-block {UNIT}; systemctl stop {SHARE}")
    ask("DELETE", "settings")
    process.wait(timeout=600)
    fleet.check("lab-gpu2", "lab-gpu3")
    for name in ("lab-gpu2", "lab-gpu3"):
        said = fleet.journal(name)
        assert "using the other endpoints" in said, said
    done = play(CONVERGE, "-l", ",".join(names))
    assert done.status == 0, done.output
    fleet.check(*names)


def test_nodes_of_a_service_hold_the_same(fleet: Fleet) -> None:
    """Multi-node services do not start with weights that differ; the error names who has what."""
    playbook = str(here("compare.yml").relative_to(ROOT))
    arguments = ("-l", "lab-gpu2,lab-gpu3")
    done = play(playbook, *arguments)
    assert done.status == 0, done.output
    manifest = f"{HOME}/main.manifest.json"
    fleet.hosts["lab-gpu3"].run_expect([0], f"cp -a {manifest} /root/kept && sed -i 's/\"sha256\": \"..../\"sha256\": \"0000/' {manifest}")
    try:
        done = play(playbook, *arguments)
        assert done.status != 0
        said = done.said
        assert "shards: lab-gpu2 has weights with the digest" in said and "lab-gpu3 has weights with the digest" in said
    finally:
        fleet.hosts["lab-gpu3"].run_expect([0], f"mv /root/kept {manifest}")
