# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Weights that somebody brought to a host that reaches nobody: verified where they lie, never changed, never copied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fleet import CONVERGE, Fleet, play
from lab import ENVIRONMENT, Play
from testinfra.host import Host

FOLDER = "/srv/models/shards"
NAME = "lab-gpu4"


@pytest.fixture(name="host")
def _host(fleet: Fleet) -> Iterator[Host]:
    """A host without a route out, and with none to the mirror; it has the weights in a folder that is not ours."""
    host = fleet.hosts[NAME]
    if not host.file("/root/weights").exists:
        # From whichever place it fetched them to.
        host.run_expect([0], "mv /var/lib/inferops/models/lab--shards /root/weights")
    host.run_expect([0], f"rm -rf /srv/models /var/lib/inferops/verified; mkdir -p {FOLDER}; cp -a /root/weights/main/. {FOLDER}; chown -R root:root /srv/models")
    mirror = f"{ENVIRONMENT['LAB_NETWORK']}.10/32"
    host.run_expect([0], f"ip route show default > /root/route; ip route del default; ip route add blackhole {mirror}")
    yield host
    host.run_expect([0], f"ip route del blackhole {mirror}; ip route add $(cat /root/route)")


def bring(**service: Any) -> Play:
    """A run for a service with the folder's weights."""
    services = [{"name": "shards", "model": "lab/shards", "port": 8001, "weights_path": FOLDER, **service}]
    return play(CONVERGE, "-l", NAME, model_services=services, weights_share="none")


def listing(host: Host) -> str:
    """All that can be seen of the folder: names, sizes, times, owners."""
    return str(host.check_output("find /srv/models -printf '%p %s %T@ %u %m\\n' | sort"))


def test_first_without_a_manifest_then_changed(host: Host) -> None:
    """What is there the first time is taken for right, and said so; a later change is an error that tells the file."""
    before = listing(host)
    done = bring()
    assert done.status == 0, done.output
    assert "trusted on first use because they have no manifest" in done.said
    assert listing(host) == before
    record = json.loads(host.check_output("cat /var/lib/inferops/verified/*.json"))
    assert (record["path"], record["manifest"], len(record["files"])) == (FOLDER, "", 10)
    again = bring()
    assert again.status == 0
    assert again.recap[NAME]["changed"] == 0
    host.run_expect([0], f"printf x | dd of={FOLDER}/model-00002-of-00006.safetensors bs=1 seek=9 conv=notrunc")
    spoilt = bring()
    assert spoilt.status != 0
    assert "model-00002-of-00006.safetensors has a different sha256" in spoilt.said


def test_with_its_manifest(host: Host) -> None:
    """The manifest that came along counts; a file that is missing is told."""
    host.run_expect([0], f"cp -a /root/weights/main.manifest.json {FOLDER}.manifest.json")
    before = listing(host)
    done = bring()
    assert done.status == 0, done.output
    assert listing(host) == before
    assert json.loads(host.check_output("cat /var/lib/inferops/verified/*.json"))["manifest"] == f"{FOLDER}.manifest.json"
    host.run_expect([0], f"rm {FOLDER}/tokenizer.json")
    assert "tokenizer.json is missing" in " ".join(bring().output.split())


def test_an_empty_folder_and_a_mount_that_is_not_there(host: Host) -> None:
    """Are errors before anything changes."""
    host.run_expect([0], f"rm -rf {FOLDER}/*")
    assert "has no config.json (it is empty)" in " ".join(bring().output.split())
    done = bring(weights_mount="/srv/models")
    assert "nothing is mounted there" in done.said


def test_brought_to_the_usual_place(host: Host) -> None:
    """With weights_offline nothing is asked, and what came with a manifest of ours is verified all the same."""
    models = "/var/lib/inferops/models/lab--shards"
    host.run_expect([0], f"rm -rf {models}; cp -a /root/weights {models}")
    services = [{"name": "shards", "model": "lab/shards", "port": 8001}]
    done = play(CONVERGE, "-l", NAME, model_services=services, weights_share="none", weights_offline=True)
    assert done.status == 0, done.output
    assert json.loads(host.check_output("cat /var/lib/inferops/verified/*.json"))["manifest"] == f"{models}/main.manifest.json"
