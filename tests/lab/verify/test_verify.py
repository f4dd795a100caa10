# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role verify: it says what answers, and fails with the service's name and the reason for what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from engine_misbehaviour import misbehaving
from lab import Play, Scenario, Unit
from testinfra.host import Host


@pytest.fixture(name="verified")
def _verified(play: Callable[..., Play], scenario: Scenario) -> Callable[..., Play]:
    """Runs playbooks/verify.yml."""
    verify = replace(scenario, playbook="playbooks/verify.yml")
    return lambda **variables: play(scenario=verify, variables={"verify_timeout": 5, **variables})


@pytest.fixture(autouse=True)
def untouched(unit: Unit) -> Iterator[None]:
    """Whatever it finds, the playbook changes and restarts nothing."""
    before = unit.main_pid
    yield
    assert unit.main_pid == before != "0"


def test_what_answers(verified: Callable[..., Play], service: dict[str, Any]) -> None:
    """With the time that the answer took, and without the key."""
    done = verified()
    assert done.status == 0, done.output
    assert all(counts["changed"] == 0 for counts in done.recap.values()), done.output
    assert service["name"] in done.output and service["api_key"] not in done.output


@pytest.mark.parametrize(
    ("settings", "words"), [({"hang": True}, ["no complete answer after 5 s"]), ({"status": 500}, ["500"])], ids=["hangs", "answers with an error"],
)
def test_what_does_not(host: Host, verified: Callable[..., Play], service: dict[str, Any], settings: dict[str, Any], words: list[str]) -> None:
    """/health says 200 and the unit is active: a completion tells the truth."""
    with misbehaving(host, **settings):
        done = verified()
    assert done.status != 0, done.output
    said = done.said
    assert [word for word in (service["name"], "lab-gpu1", *words) if word not in said] == [], done.output
    assert service["api_key"] not in done.output and "Traceback" not in done.output


def test_a_key_that_it_does_not_take(verified: Callable[..., Play], service: dict[str, Any]) -> None:
    """The inventory has another key than the service that runs."""
    done = verified(model_services=[{**service, "api_key": "sk-lab-another-77"}])
    assert done.status != 0, done.output
    said = done.said
    assert service["name"] in said and "401" in said and "sk-lab-another-77" not in said, done.output
