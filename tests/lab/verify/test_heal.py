# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""site.yml and the role verify: an unchanged service that hangs is restarted, and what only the host itself reaches does not count as serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine_misbehaviour import misbehaving
from lab import Play, Scenario, Unit
from testinfra.host import Host

# Long before the supervisor itself ends the engine (model_service_liveness_timeout).
SOON = {"model_service_stall_timeout": 5, "verify_timeout": 5}


def test_what_hangs_is_restarted_once(host: Host, play: Callable[..., Play], unit: Unit, service: dict[str, Any]) -> None:
    """An engine whose steps stand still while a request waits; nothing else has to change."""
    before = unit.main_pid
    with misbehaving(host, hang=True):
        host.run(
            f"curl -s -m 2 -H 'Authorization: Bearer {service['api_key']}' -H 'Content-Type: application/json'"
            f" -d '{{\"model\": \"{service['name']}\", \"prompt\": \"x\", \"max_tokens\": 1}}' http://127.0.0.1:{service['port']}/v1/completions"
        )
    done = play(variables=SOON)
    assert done.status == 0, done.output
    assert unit.main_pid not in ("0", before), done.output
    again = play(variables=SOON)
    assert again.status == 0 and all(counts["changed"] == 0 for counts in again.recap.values()), again.output


def test_the_controller_has_to_reach_it(host: Host, play: Callable[..., Play], scenario: Scenario, service: dict[str, Any]) -> None:
    """Something between the controller and the host refuses the connection, which the host itself does not see."""
    rule = f"INPUT --protocol tcp --dport {service['port']} ! --in-interface lo --jump REJECT --reject-with tcp-reset"
    host.check_output(f"iptables --insert {rule}")
    try:
        done = play(scenario=replace(scenario, playbook="playbooks/verify.yml"), variables={"verify_timeout": 5})
    finally:
        host.check_output(f"iptables --delete {rule}")
    assert done.status != 0 and service["name"] in done.said and "refused" in done.said, done.output
