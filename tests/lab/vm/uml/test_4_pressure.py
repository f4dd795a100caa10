# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full disk, a clock that jumps, an sshd on two ports: the service goes on, or comes back once the cause has passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import Service
from virtual import Machine

# Takes all that the root user may take, too.
FILL = "df --output=avail -B1 / | tail -n 1 | xargs -I{} fallocate -l {} /full; dd if=/dev/zero of=/full2 bs=4k 2>/dev/null; sync; df --output=avail / | tail -n 1"


@pytest.fixture
def full_disk(machine: Machine) -> Iterator[None]:
    """No byte is left on the machine's disk, until the test ends."""
    assert machine.output(FILL).split()[-1] == "0"
    yield
    machine.output("rm -f /full /full2")


@pytest.fixture
def clock(machine: Machine) -> Iterator[Callable[[str], None]]:
    """Sets the machine's clock, which no time server corrects; right again when the test ends."""
    yield lambda jump: print(machine.output(f"date --set '{jump}'"))
    machine.output(f"date --set @{time.time():.0f}")


def test_full_disk_while_serving(full_disk: None, service: Service, measured: Callable[[str, float], None]) -> None:
    """The service answers, and answers after a restart."""
    assert service.answers()
    began = time.monotonic()
    service.machine.output(f"systemctl restart --no-block {service.unit}")
    time.sleep(2)
    measured("disk full, the service restarts", service.answers_since(began))


def test_site_on_a_full_disk(full_disk: None, service: Service, upgrade: dict[str, Any], play: Callable[..., Any]) -> None:
    """A change that needs room ends with an error that names the disk; the service is left alone."""
    before = service.show("MainPID")
    done = play(variables={**upgrade, "vllm_requirements": ["wcwidth==0.2.13"]})
    assert done.status != 0
    said = done.said.lower()
    assert "no space left" in said or "disk" in said or "free" in said, done.output
    assert "Traceback" not in done.output, done.output
    assert service.show("MainPID") == before and service.answers()


def test_site_once_there_is_room(service: Service, upgrade: dict[str, Any], play: Callable[..., Any], measured: Callable[[str, float], None]) -> None:
    """Nothing that was written by half stands in the way."""
    began = time.monotonic()
    done = play(variables=upgrade)
    assert done.status == 0, done.output
    measured("disk full, then room again: site.yml", service.answers_since(began))


@pytest.mark.parametrize("jump", ["+400 days", "-3 days"])
def test_clock_jumps(
    jump: str, service: Service, upgrade: dict[str, Any], clock: Callable[[str], None], play: Callable[..., Any], measured: Callable[[str, float], None]
) -> None:
    """The service answers on, restarts in the usual time, and a run finds nothing to do."""
    clock(jump)
    assert service.answers()
    began = time.monotonic()
    service.machine.output(f"systemctl restart --no-block {service.unit}")
    time.sleep(2)
    measured(f"clock {jump}, the service restarts", service.answers_since(began))
    done = play(variables=upgrade)
    assert done.status == 0 and [counts["changed"] for counts in done.recap.values()] == [0], done.output


def test_two_ports(machine: Machine, service: Service, upgrade: dict[str, Any], play: Callable[..., Any], measured: Callable[[str, float], None]) -> None:
    """An sshd on two ports: a run opens the second in the firewall before anyone needs it, and both are open after a reboot."""
    machine.output("echo 'Port 2222' >/etc/ssh/sshd_config.d/second.conf && systemctl restart ssh")
    assert not machine.listens(2222), "the firewall had the port open before the run"
    done = play(variables=upgrade)
    assert done.status == 0, done.output
    assert machine.listens(22) and machine.listens(2222)
    began = time.monotonic()
    machine.reboot()
    measured("sshd on two ports, reboot", service.answers_since(began))
    assert machine.listens(22) and machine.listens(2222)
