# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site's own mirror: hosts download through it, and it asks the origin for each byte once."""

from __future__ import annotations

import pytest
from fleet import CONVERGE, Fleet, ask, play

PLAYBOOK = "playbooks/weights_mirror.yml"
UNIT = "inferops-hub-mirror.service"
# systemctl returns before the mirror listens; a host that asks until then goes to the next endpoint.
START = f"systemctl start {UNIT} && for _ in $(seq 120); do if ss -tlnH sport = :8090 | grep -q .; then exit 0; fi; sleep 0.5; done; exit 1"


@pytest.fixture(scope="module", autouse=True)
def mirror() -> None:
    """It runs; molecule/weights_mirror has the tests of the role alone."""
    done = play(PLAYBOOK)
    assert done.status == 0, done.output


def test_two_hosts_at_once_and_a_third_later(fleet: Fleet) -> None:
    """The origin sends each file once; who comes later costs it nothing."""
    fleet.hosts["lab-cache"].run_expect([0], f"systemctl stop {UNIT}; rm -rf /var/cache/inferops-mirror/repos; {START}")
    fleet.forget("lab-gpu1", "lab-gpu2", "lab-gpu3")
    done = play(CONVERGE, "-l", "lab-gpu1,lab-gpu2", weights_share="mirror")
    assert done.status == 0, done.output
    total = fleet.check("lab-gpu1", "lab-gpu2")
    sent = sum(fleet.sent().values())
    # Each host looks at the other endpoint too, with a byte.
    assert total <= sent <= total + 4, fleet.journal("lab-gpu1") + fleet.journal("lab-gpu2")
    done = play(CONVERGE, "-l", "lab-gpu3", weights_share="mirror")
    assert done.status == 0, done.output
    fleet.check("lab-gpu1", "lab-gpu3")
    assert sum(fleet.sent().values()) <= sent + 2


def test_without_it_the_next_endpoint_goes_on(fleet: Fleet) -> None:
    """A mirror that is down costs a moment, not the download."""
    fleet.hosts["lab-cache"].run_expect([0], f"systemctl stop {UNIT}")
    fleet.forget("lab-gpu1")
    try:
        done = play(CONVERGE, "-l", "lab-gpu1", weights_share="mirror")
        assert done.status == 0, done.output
        fleet.check("lab-gpu1")
        assert ask("GET", "stats")["bytes"] > 0
    finally:
        fleet.hosts["lab-cache"].run_expect([0], START)
