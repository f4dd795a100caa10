# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mirrors that stall, redirect, throttle and lie; a unit that is killed, a host that restarts, a disk that is full.

After each: complete, verified, and nothing fetched twice that need not be, by the count of bytes that the mirrors sent.
"""

from __future__ import annotations

import subprocess

import pytest
from conftest import HOME, SHARD, UNDER_WAY, Fetch
from lab import ENVIRONMENT, wait_until

# In the lab's network, and nobody has it.
DEAD = f"http://{ENVIRONMENT['LAB_NETWORK']}.250:9"


def test_without_a_error(fetch: Fetch) -> None:
    """The first endpoint gives everything; of the second only the probe's byte is taken. One format of the weights is fetched."""
    fetch.run()
    fetch.check()
    assert fetch.mirrors[1].sent == 1
    assert {file["path"] for file in fetch.manifest()["files"]} == {
        "README.md", "config.json", "empty.txt", "tokenizer.json", *(f"model-{number:05}-of-00006.safetensors" for number in range(1, 7)),
    }


def test_started_again_when_complete(fetch: Fetch) -> None:
    """The manifest is enough: no mirror is asked, nothing is hashed."""
    fetch.run()
    for mirror in fetch.mirrors:
        mirror.behave(gone=True)
    fetch.run()
    fetch.check()


def test_connections_are_cut_again_and_again(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(cut_after=1_000_000)
    fetch.run()
    fetch.check(UNDER_WAY)
    assert fetch.mirrors[0].files()["model-00001-of-00006.safetensors"]["requests"] >= 8
    assert fetch.mirrors[1].sent == 1, "the first mirror did send something each time"


def test_stalls_with_the_connection_open(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(stall_after=3_000_000, times=4, paths=["*.safetensors"])
    fetch.run()
    fetch.check(UNDER_WAY)


def test_half_of_min_rate(fetch: Fetch) -> None:
    """Four connections at an eighth of the floor: after weights_rate_seconds the second endpoint goes on where the first was."""
    fetch.mirrors[0].behave(rate=50_000)
    fetch.run()
    fetch.check(UNDER_WAY)
    assert fetch.mirrors[0].sent < SHARD < fetch.mirrors[1].sent
    assert "too slow" in fetch.unit.journal()


def test_too_many_requests(fetch: Fetch) -> None:
    """The only endpoint that is left is left alone for as long as it asks."""
    fetch.mirrors[1].behave(gone=True)
    fetch.mirrors[0].behave(status=429, retry_after=5, seconds=4)
    assert fetch.run() >= 5
    fetch.check()


def test_too_many_requests_at_the_first(fetch: Fetch) -> None:
    """While it rests the second one gives."""
    fetch.mirrors[0].behave(status=429, retry_after=120)
    assert fetch.run() < 60
    fetch.check()
    assert fetch.mirrors[0].sent == 0


def test_unavailable_for_a_while(fetch: Fetch) -> None:
    for mirror in fetch.mirrors:
        mirror.behave(status=503, seconds=6)
    assert fetch.run() >= 6
    fetch.check()


def test_redirect_to_a_dead_host(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(redirect=DEAD)
    fetch.run()
    fetch.check()
    assert DEAD.removeprefix("http://") in fetch.unit.journal(), "where the data would have come from is not told"


def test_redirect_elsewhere(fetch: Fetch) -> None:
    """As the Hub does: the data comes from another host, in ranges too."""
    fetch.mirrors[0].behave(redirect=fetch.mirrors[1].url)
    fetch.mirrors[1].behave(cut_after=3_000_000)
    fetch.run()
    fetch.check(UNDER_WAY)
    assert fetch.mirrors[0].sent == 0


def test_a_wrong_byte(fetch: Fetch) -> None:
    """The file alone is fetched again, from the other endpoint."""
    fetch.mirrors[0].behave(flip=True, paths=["model-00003*"])
    fetch.run()
    fetch.check(SHARD)
    assert fetch.mirrors[1].files()["model-00003-of-00006.safetensors"]["bytes"] == SHARD


def test_a_truncated_file(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(truncate=5000, paths=["model-00003*"])
    fetch.run()
    fetch.check(SHARD)


def test_an_etag_that_changes(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(etag=True, cut_after=3_000_000)
    fetch.run()
    fetch.check(UNDER_WAY)


def test_the_first_goes_in_the_middle(fetch: Fetch) -> None:
    fetch.mirrors[0].behave(rate=1_000_000)
    fetch.start()
    fetch.until(SHARD)
    fetch.mirrors[0].behave(gone=True)
    # What is under way still comes; the rest does not.
    assert fetch.end() == "success", fetch.unit.journal()
    fetch.check(UNDER_WAY)
    assert fetch.mirrors[1].sent > SHARD


def test_all_are_gone(fetch: Fetch) -> None:
    """One error that says what was tried and what each answered; no start after it. When they are back, the rest is fetched."""
    fetch.mirrors[0].behave(rate=1_000_000, cut_after=3_000_000)
    fetch.start()
    fetch.until(SHARD)
    for mirror in fetch.mirrors:
        mirror.behave(gone=True)
    assert fetch.end() == "exit-code"
    assert fetch.unit.show("NRestarts") == "0"
    error = fetch.status()["error"]
    assert all(f"{mirror.url} answered" in error for mirror in fetch.mirrors), error
    assert "Empty reply" in error and fetch.status()["fix"]
    for mirror in fetch.mirrors:
        mirror.behave()
    fetch.run()
    fetch.check(UNDER_WAY)


def test_wrong_everywhere(fetch: Fetch) -> None:
    """Nothing is shown that is not verified, and the error names the file."""
    for mirror in fetch.mirrors:
        mirror.behave(flip=True, paths=["model-00003*"])
    fetch.start()
    assert fetch.end() == "exit-code"
    assert "model-00003-of-00006.safetensors" in fetch.status()["error"] and "wrong bytes" in fetch.status()["error"]
    assert not fetch.host.run(f"ls {HOME} | grep -v -e partial -e verified").stdout
    for mirror in fetch.mirrors:
        mirror.behave()
        mirror.forget()
    fetch.run()
    assert fetch.sent <= SHARD + 2, "more than the wrong file was fetched again"


def test_the_disk_is_full(fetch: Fetch) -> None:
    """It waits for room, and goes on when there is some."""
    fetch.host.run_expect([0], f"mount -t tmpfs -o size=30m,mode=755 tmpfs {HOME} && chown inferops: {HOME}")
    # What is under way when a program ends for want of room is lost; at full speed that is megabytes.
    fetch.mirrors[0].behave(rate=1_500_000)
    try:
        fetch.start()
        wait_until(lambda: "disk is full" in fetch.status()["text"], 30, "the download's word that the disk is full")
        fetch.host.run_expect([0], f"mount -o remount,size=100m {HOME}")
        assert fetch.end() == "success", fetch.unit.journal()
        fetch.check(UNDER_WAY)
    finally:
        fetch.host.run(f"umount {HOME}")


def test_the_disk_stays_full(fetch: Fetch) -> None:
    fetch.host.run_expect([0], f"mount -t tmpfs -o size=30m,mode=755 tmpfs {HOME} && chown inferops: {HOME}")
    try:
        fetch.start()
        assert fetch.end() == "exit-code"
        assert fetch.status()["error"] == "the disk is full"
    finally:
        fetch.host.run(f"umount {HOME}")


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_the_unit_is_killed(fetch: Fetch, signal: str) -> None:
    """systemd starts it again; a stop is a stop."""
    fetch.mirrors[0].behave(rate=2_000_000)
    fetch.start()
    fetch.until(SHARD)
    if signal == "SIGKILL":
        fetch.host.run_expect([0], "systemctl kill --signal=SIGKILL %s", fetch.unit.name)
    else:
        fetch.host.run_expect([0], "systemctl stop %s", fetch.unit.name)
        assert fetch.host.run("pgrep --exact curl").stdout == ""
        fetch.start()
    assert fetch.end() == "success", fetch.unit.journal()
    fetch.check(UNDER_WAY)


def test_the_host_restarts(fetch: Fetch) -> None:
    """The download goes on by itself, with nobody to ask for it."""
    fetch.mirrors[0].behave(rate=2_000_000)
    fetch.start()
    fetch.until(SHARD)
    name = f"{ENVIRONMENT['LAB_NAME']}-{fetch.host.backend.host.name}"
    subprocess.run(["docker", "restart", "--time", "5", name], check=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: is_up(fetch), 60, "the host is back")
    assert fetch.end() == "success", fetch.unit.journal()
    fetch.check(UNDER_WAY)


def is_up(fetch: Fetch) -> bool:
    """Whether the host answers and has booted."""
    try:
        return fetch.host.run("systemctl is-system-running").stdout.strip() in ("running", "degraded")
    except RuntimeError:
        # SSH does not answer yet.
        return False


def test_progress_is_told(fetch: Fetch) -> None:
    """Bytes, rate and time left, in the status file and in the journal."""
    fetch.mirrors[0].behave(rate=1_000_000)
    fetch.start()
    fetch.until(SHARD)
    status = fetch.status()
    assert SHARD * 0.9 <= status["bytes"] <= status["total_bytes"] and status["rate"] > 400_000 and status["eta_seconds"] > 0, status
    assert fetch.mirrors[0].url in status["doing"]
    fetch.mirrors[0].behave()
    assert fetch.end() == "success"
    assert "MiB of 46 MiB" in fetch.unit.journal() or "bytes of 46 MiB" in fetch.unit.journal()
