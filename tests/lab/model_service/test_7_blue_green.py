# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blue/green updates of a service on one host, under a load of streams that comes from another machine, the controller: no request is lost.

Without a load balancer: the clients talk to the service's own port. The client opens a connection for each stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from engine_misbehaviour import misbehaving
from lab import Play, Scenario, Unit, wait_until
from services import kept
from streams import load
from testinfra.host import Host

# A stream of some seconds, so that each switch meets running ones.
TOKENS, TOKEN_DELAY = 30, 0.1
# The streams may end before the engine does.
STRATEGY: dict[str, Any] = {"model_service_update_strategy": "blue_green", "model_service_shutdown_timeout": 30, "model_service_stop_timeout": 60}


def changed(service: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """Variables of a run with these arguments of the service."""
    return {**STRATEGY, "model_services": [{**service, "vllm_args": {**service["vllm_args"], **arguments}}]}


def green(service: dict[str, Any]) -> str:
    """The temporary unit."""
    return f"inferops-green-{service['name']}.service"


def redirects(host: Host) -> str:
    """The rules that redirect, and those that a drain has left."""
    return host.run("iptables --table nat --list-rules PREROUTING | grep inferops; iptables --list-rules INPUT | grep drain").stdout


def left(host: Host, service: dict[str, Any]) -> list[str]:
    """What is left of a blue/green update: rules, units, files."""
    name = service["name"]
    found = redirects(host).splitlines()
    found += host.run("systemctl list-units --all --plain --no-legend 'inferops-green-*'").stdout.splitlines()
    paths = ("/run/systemd/system", "/run/inferops", "/run/inferops-supervisor", "/etc/systemd/system")
    found += host.run("find %s %s %s %s -name '*green*'", *paths).stdout.splitlines()
    return found + host.run("find /var/cache/inferops/%s -maxdepth 1 -name green", name).stdout.splitlines()


@pytest.fixture(scope="module", autouse=True)
def served(play: Callable[..., Play], service: dict[str, Any], host: Host) -> None:
    """The service runs, with the strategy; the firewall allows the port of its temporary unit."""
    done = play(variables=changed(service))
    assert done.status == 0, done.output[-3000:]
    assert f"{service['port'] + 10000}/tcp" in host.check_output("ufw status")


@pytest.fixture(autouse=True)
def slow(host: Host, served: None) -> Iterator[None]:
    """The engines take their time for each token."""
    with misbehaving(host, token_delay=TOKEN_DELAY):
        yield


def test_a_change_loses_no_request(host: Host, play: Callable[..., Play], service: dict[str, Any], unit: Unit, address: str) -> None:
    """Another process answers afterwards; a second run changes nothing."""
    before = unit.main_pid
    with load(address, service["api_key"], service["name"], TOKENS) as found:
        wait_until(lambda: found.complete > 20, 60, f"the load runs: {found}")
        done = play(variables=changed(service, max_model_len=1024))
    assert done.status == 0, done.output[-3000:]
    assert found.errors == [] and found.complete > 40, found
    print(f"\nblue/green change: {found.complete} streams, {len(found.errors)} failed")
    assert unit.main_pid != before and "--max-model-len=1024" in unit.show("ExecStart")
    assert left(host, service) == []
    again = play(variables=changed(service, max_model_len=1024))
    assert again.status == 0 and all(counts["changed"] == 0 for counts in again.recap.values()), again.output[-3000:]


def test_check_mode_starts_nothing(host: Host, play: Callable[..., Play], service: dict[str, Any], unit: Unit) -> None:
    """It reports the change, and where the new engine would start."""
    before = unit.main_pid
    done = play("--check", variables=changed(service, max_model_len=512))
    assert done.status == 0 and f"in {green(service)} on port {service['port'] + 10000}" in done.said, done.output[-3000:]
    assert any(counts["changed"] for counts in done.recap.values())
    assert unit.main_pid == before and left(host, service) == []


def test_a_new_engine_that_fails_changes_nothing(host: Host, play: Callable[..., Play], service: dict[str, Any], unit: Unit, address: str) -> None:
    """The old one is not touched, with its files and its last known good state."""
    before, state = unit.main_pid, kept(host, service["name"])
    with load(address, service["api_key"], service["name"], TOKENS) as found:
        wait_until(lambda: found.complete > 20, 60, f"the load runs: {found}")
        # The parser takes it. A cache of one block has no room for a request.
        done = play(variables=changed(service, max_model_len=1024, num_gpu_blocks_override=1))
    assert done.status != 0, done.output[-3000:]
    assert f"The new engine of service {service['name']}" in done.said and "the service keeps its previous state" in done.said, done.output[-3000:]
    assert found.errors == [], found
    assert unit.main_pid == before and kept(host, service["name"]) == state and host.file(state["unit_file"]).content_string == state["unit_text"]
    assert left(host, service) == []


def test_a_run_that_was_killed_after_the_switch_is_finished(
    host: Host, play: Callable[..., Play], killed_play: Callable[..., str], service: dict[str, Any], unit: Unit, address: str
) -> None:
    """The new engine serves meanwhile, and the next run goes on with it."""
    variables = changed(service, max_model_len=512)
    before = unit.main_pid
    with load(address, service["api_key"], service["name"], TOKENS) as found:
        wait_until(lambda: found.complete > 20, 60, f"the load runs: {found}")
        killed_play(lambda: "inferops: redirect" in redirects(host), "connections are redirected", variables=variables)
        assert host.run("systemctl is-active %s", green(service)).rc == 0
        done = play(variables=variables)
    assert done.status == 0, done.output[-3000:]
    assert found.errors == [], found
    assert unit.main_pid != before and "--max-model-len=512" in unit.show("ExecStart")
    assert left(host, service) == []
    again = play(variables=variables)
    assert again.status == 0 and all(counts["changed"] == 0 for counts in again.recap.values()), again.output[-3000:]


def test_a_run_that_was_killed_and_taken_back(
    host: Host, play: Callable[..., Play], killed_play: Callable[..., str], service: dict[str, Any], unit: Unit
) -> None:
    """The inventory is what it was before: the next run removes the new engine."""
    killed_play(lambda: host.run("systemctl is-active %s", green(service)).rc == 0, "the new engine serves", variables=changed(service, max_model_len=256))
    done = play(variables=changed(service, max_model_len=512))
    assert done.status == 0, done.output[-3000:]
    # The run may have come so far that it had written the service's files.
    assert "--max-model-len=512" in unit.show("ExecStart")
    assert left(host, service) == []


def test_a_restart_ends_an_update_that_was_killed(
    host: Host, play: Callable[..., Play], killed_play: Callable[..., str], scenario: Scenario, service: dict[str, Any], unit: Unit
) -> None:
    """Clients reach the service itself again, not the new engine."""
    killed_play(lambda: "inferops: redirect" in redirects(host), "connections are redirected", variables=changed(service, max_model_len=256))
    done = play(variables={"restart_service": service["name"]}, scenario=replace(scenario, playbook="playbooks/restart.yml"))
    assert done.status == 0, done.output[-3000:]
    assert left(host, service) == [] and host.run("systemctl is-active %s", unit.name).rc == 0
    done = play(variables=changed(service, max_model_len=512))
    assert done.status == 0, done.output[-3000:]


def test_the_strategy_ends(host: Host, play: Callable[..., Play], service: dict[str, Any], unit: Unit) -> None:
    """The firewall no longer allows the port of the temporary unit, and nothing restarts for that."""
    before = unit.main_pid
    done = play(variables={**changed(service, max_model_len=512), "model_service_update_strategy": "recreate"})
    assert done.status == 0 and unit.main_pid == before, done.output[-3000:]
    assert f"{service['port'] + 10000}/tcp" not in host.check_output("ufw status")
