# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service with a replica on each host, behind HAProxy: changes, restarts and rollbacks under a load of streams, which lose no request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import ENVIRONMENT, Play, Scenario, wait_until
from pair import Pair
from streams import load
from testinfra.host import Host

SERVICE = {"name": "twin", "port": 8003, "api_key": "sk-lab-key-5b1f3e"}
UNIT = "vllm-twin.service"
PORT = 8090
URL = f"http://{ENVIRONMENT['LAB_NETWORK']}.42:{PORT}"
# A stream of some seconds, so that each change meets running ones.
TOKENS, TOKEN_DELAY = 30, 0.1


@pytest.fixture(scope="module")
def balancer(pair: Pair) -> Iterator[str]:
    """HAProxy on one of the two hosts, with a health check every second; yields its URL."""
    host = pair.worker
    # As root: one command for the shell.
    host.run_expect([0], "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends haproxy")
    configuration = (Path(__file__).parent / "haproxy.cfg").read_text(encoding="utf-8")
    text = configuration.replace("NETWORK", ENVIRONMENT["LAB_NETWORK"]).replace("PORT", str(PORT))
    host.run_expect([0], "printf %s %s > /etc/haproxy/haproxy.cfg", "%s", text)
    host.run_expect([0], "haproxy -c -q -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy")
    # An administrator's own rule.
    host.run_expect([0], f"ufw allow {PORT}/tcp")
    yield URL
    host.run_expect([0], f"ufw delete allow {PORT}/tcp")
    host.run_expect([0], "systemctl disable --now --quiet haproxy")


@pytest.fixture
def slow(misbehave: Callable[..., None], pair: Pair) -> None:
    """Both engines take their time for each token."""
    for host in (pair.head, pair.worker):
        misbehave(host, token_delay=TOKEN_DELAY)


def generations(pair: Pair) -> list[str]:
    """The present start of each replica."""
    return [host.check_output("systemctl show --value --property=InvocationID %s", UNIT) for host in (pair.head, pair.worker)]


def arguments(host: Host) -> str:
    """The arguments of a replica that runs."""
    return host.check_output("systemctl show --value --property=ExecStart %s", UNIT)


def rules(host: Host) -> str:
    """Rules of the packet filter that a drain has left."""
    return host.run("iptables --list-rules INPUT | grep drain").stdout


def starts(host: Host) -> tuple[int, int]:
    """When the present start of a replica began and when it served, in microseconds since the machine's boot; both machines have the same clock."""
    found = host.check_output("systemctl show --property=InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic --value %s", UNIT).split()
    return int(found[0]), int(found[1])


@pytest.mark.usefixtures("slow")
def test_a_rolling_change_loses_no_request(pair: Pair, play: Callable[..., Play], balancer: str, table: dict[str, float]) -> None:
    """One replica after the other: the second begins when the first has served for a while."""
    before = generations(pair)
    with load(balancer, SERVICE["api_key"], "twin", TOKENS) as found:
        wait_until(lambda: found.complete > 20, 60, f"the load runs: {found}")
        done = play("--diff", variables={"twin_max_model_len": 512})
    assert done.status == 0, done.output[-3000:]
    assert found.errors == [] and found.complete > 40, found
    print(f"\nrolling change: {found.complete} streams, {len(found.errors)} failed")
    assert all(new != old for new, old in zip(generations(pair), before))
    assert all("--max-model-len=512" in arguments(host) for host in (pair.head, pair.worker))
    assert "twin: multi-head, multi-worker, 2 steps" in done.said
    first, second = starts(pair.head), starts(pair.worker)
    # The drain of the second is part of its stop, which comes before its start.
    assert second[0] > first[1] + 3_000_000, (first, second)
    assert not any(rules(host) for host in (pair.head, pair.worker))
    table["replicas | play: a rolling change"] = done.seconds
    again = play(variables={"twin_max_model_len": 512})
    assert again.status == 0 and all(counts["changed"] == 0 for counts in again.recap.values()), again.output[-3000:]


@pytest.mark.usefixtures("slow")
def test_a_change_that_fails_stops_at_the_first(pair: Pair, play: Callable[..., Play], balancer: str) -> None:
    """The first replica rolls back, the second is not touched, and no request is lost."""
    before = generations(pair)
    with load(balancer, SERVICE["api_key"], "twin", TOKENS) as found:
        done = play(variables={"twin_max_model_len": 512, "twin_arguments": {"num_gpu_blocks_override": 1}})
    assert done.status != 0 and "healthy again" in done.output, done.output[-3000:]
    assert "Rollout of service twin (multi-head, multi-worker) stopped: the change failed on multi-head. This host keeps its previous state." in done.said
    assert found.errors == [], found
    after = generations(pair)
    assert after[0] != before[0] and after[1] == before[1]
    assert not any("num-gpu-blocks" in arguments(host) for host in (pair.head, pair.worker))


def test_a_change_that_fails_at_the_second_takes_the_first_back(pair: Pair, play: Callable[..., Play], misbehave: Callable[..., None]) -> None:
    """All replicas are what they were before the run."""
    misbehave(pair.worker, exit_at_start=1)
    done = play(variables={"twin_max_model_len": 256})
    assert done.status != 0, done.output[-3000:]
    assert "stopped: the change failed on multi-worker. This host had been changed before, and went back to its previous state" in done.said, done.output[-3000:]
    misbehave(pair.worker)
    wait_until(lambda: pair.worker.run("systemctl is-active %s", UNIT).rc == 0, 60, "the second replica serves again")
    assert all("--max-model-len=512" in arguments(host) for host in (pair.head, pair.worker))


@pytest.mark.usefixtures("slow")
def test_operators_lose_no_request(pair: Pair, play: Callable[..., Play], scenario: Scenario, balancer: str) -> None:
    """A restart, a rollback and maintenance of both replicas; then one is stopped and started."""
    variables: dict[str, Any] = {"twin_max_model_len": 512}

    def run(name: str, *given: str, **more: str) -> Play:
        done = play(*given, variables={**variables, **more}, scenario=replace(scenario, playbook=f"playbooks/{name}.yml"))
        assert done.status == 0, done.output[-3000:]
        return done

    with load(balancer, SERVICE["api_key"], "twin", TOKENS) as found:
        before = generations(pair)
        run("restart", restart_service="twin")
        between = generations(pair)
        assert all(new != old for new, old in zip(between, before))
        run("rollback", rollback_service="twin")
        assert all("--max-model-len=1024" in arguments(host) for host in (pair.head, pair.worker))
        run("rollback", rollback_service="twin")
        assert all("--max-model-len=512" in arguments(host) for host in (pair.head, pair.worker))
        between = generations(pair)
        run("maintenance")
        assert all(new != old for new, old in zip(generations(pair), between))
        run("stop", "-l", "multi-worker", stop_service="twin")
        assert pair.worker.run("systemctl is-active %s", UNIT).stdout.strip() == "inactive"
        run("start", "-l", "multi-worker", start_service="twin")
        assert pair.worker.run("systemctl is-active %s", UNIT).rc == 0
    assert found.errors == [], found
    print(f"\nrestart, two rollbacks, stop and start: {found.complete} streams, {len(found.errors)} failed")
    assert not any(rules(host) for host in (pair.head, pair.worker))


@pytest.mark.usefixtures("slow")
def test_a_rollout_that_was_killed_is_completed(
    pair: Pair, play: Callable[..., Play], killed_play: Callable[..., str], misbehave: Callable[..., None], balancer: str
) -> None:
    """The run dies while the first replica restarts, which takes longer than the next run needs for its plan. That one waits for the first replica before
    it changes the second, and no request is lost."""
    changed: dict[str, Any] = {"twin_max_model_len": 256}
    before = generations(pair)
    with load(balancer, SERVICE["api_key"], "twin", TOKENS) as found:
        wait_until(lambda: found.complete > 20, 60, f"the load runs: {found}")
        misbehave(pair.head, token_delay=TOKEN_DELAY, start_delay=45)
        killed_play(lambda: generations(pair)[0] != before[0], "the first replica starts again", variables=changed)
        assert "--max-model-len=512" in arguments(pair.worker)
        between = generations(pair)
        done = play(variables=changed)
    assert done.status == 0, done.output[-3000:]
    assert found.errors == [], found
    after = generations(pair)
    assert after[0] == between[0] and after[1] != between[1]
    first, second = starts(pair.head), starts(pair.worker)
    assert second[0] > first[1] + 3_000_000, (first, second)
    assert all("--max-model-len=256" in arguments(host) for host in (pair.head, pair.worker))
    assert not any(rules(host) for host in (pair.head, pair.worker))


def test_a_replica_that_cannot_be_reached_counts_as_unavailable(pair: Pair, play: Callable[..., Play], tmp_path: Path) -> None:
    """The other one, which serves, keeps its state. With -l it changes alone."""
    lost = tmp_path / "lost.yml"
    lost.write_text(json.dumps({"all": {"hosts": {"multi-worker": {"ansible_host": f"{ENVIRONMENT['LAB_NETWORK']}.99"}}}}), encoding="utf-8")
    before, changed = generations(pair), {"twin_max_model_len": 512, "model_services": ["{{ twin_service }}"]}
    done = play("-i", str(lost), variables=changed)
    assert done.status != 0, done.output[-3000:]
    assert "Rollout of service twin (multi-head) stopped: multi-worker failed before it began or cannot be reached" in done.said, done.output[-3000:]
    assert generations(pair) == before and "--max-model-len=256" in arguments(pair.head)
    done = play("-i", str(lost), "-l", "multi-head", variables=changed)
    assert done.status == 0, done.output[-3000:]
    after = generations(pair)
    assert after[0] != before[0] and after[1] == before[1] and "--max-model-len=512" in arguments(pair.head)


def test_what_operators_get_wrong(pair: Pair, play: Callable[..., Play], scenario: Scenario) -> None:
    """A service that does not exist, and no service at all for a whole inventory: refused, and nothing is touched."""
    before = generations(pair)
    for name, variables, words in (
        ("stop", {"stop_service": "twni"}, "stop_service: no host of this run has a service twni"),
        ("rollback", {}, "rollback_service: no host of this run has a service with an empty name"),
    ):
        done = play(variables=variables, scenario=replace(scenario, playbook=f"playbooks/{name}.yml"))
        assert done.status != 0 and words in done.said, done.output[-2000:]
    assert generations(pair) == before
