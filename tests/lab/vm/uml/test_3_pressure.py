# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full disk, full memory, a clock that jumps, an sshd on two ports: the service goes on, or comes back once the cause has passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import wait_until
from served import Service
from virtual import Machine

LATER = {"vllm_version": "0.32.0.post1+cpu"}
# Takes all that the root user may take, too.
FILL = "df --output=avail -B1 / | tail -n 1 | xargs -I{} fallocate -l {} /full; dd if=/dev/zero of=/full2 bs=4k 2>/dev/null; sync; df --output=avail / | tail -n 1"
# Takes memory until the kernel has killed the engine, or itself; holds it for half a minute. The kernel spares it as long as it can.
HOG = """
import glob, os, time
[engine] = [path for path in glob.glob("/proc/[0-9]*") if "EngineCore" in open(path + "/comm").read() + open(path + "/cmdline").read()][:1]
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("-900")
kept = []
while os.path.exists(engine):
    kept.append(b"x" * (16 << 20))
time.sleep(30)
"""


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


def test_site_on_a_full_disk(full_disk: None, service: Service, play: Callable[..., Any]) -> None:
    """A change that needs room ends with an error that names the disk; the service is left alone."""
    before = service.show("MainPID")
    done = play(variables={**LATER, "vllm_requirements": ["tabulate==0.9.0"]})
    assert done.status != 0
    said = done.said.lower()
    assert "no space left" in said or "disk" in said or "free" in said, done.output
    assert "Traceback" not in done.output, done.output
    assert service.show("MainPID") == before and service.answers()


def test_site_once_there_is_room(service: Service, play: Callable[..., Any], measured: Callable[[str, float], None]) -> None:
    """Nothing that was written by half stands in the way."""
    began = time.monotonic()
    done = play(variables=LATER)
    assert done.status == 0, done.output
    measured("disk full, then room again: site.yml", service.answers_since(began))


def test_full_memory(machine: Machine, service: Service, measured: Callable[[str, float], None]) -> None:
    """Something else takes all memory: the kernel kills the engine, and systemd starts the service again until there is room for it."""
    restarts = int(service.show("NRestarts"))
    machine.output(f"cat >/root/hog.py <<'END'\n{HOG}\nEND")
    began = time.monotonic()
    machine.output("systemd-run --unit=hog --collect python3 /root/hog.py")
    wait_until(lambda: int(service.show("NRestarts")) > restarts, 600, "the kernel kills the engine", every=3)
    assert "Out of memory" in machine.output("dmesg")
    measured("memory full, the kernel kills the engine", service.answers_since(began))
    assert machine.output("systemctl is-active ssh systemd-journald").split() == ["active", "active"]


@pytest.mark.parametrize("jump", ["+400 days", "-3 days"])
def test_clock_jumps(jump: str, service: Service, clock: Callable[[str], None], play: Callable[..., Any], measured: Callable[[str, float], None]) -> None:
    """The service answers on, restarts in the usual time, and a run finds nothing to do."""
    clock(jump)
    assert service.answers()
    began = time.monotonic()
    service.machine.output(f"systemctl restart --no-block {service.unit}")
    time.sleep(2)
    measured(f"clock {jump}, the service restarts", service.answers_since(began))
    done = play(variables=LATER)
    assert done.status == 0 and [counts["changed"] for counts in done.recap.values()] == [0], done.output


def test_two_ports(machine: Machine, service: Service, play: Callable[..., Any], measured: Callable[[str, float], None]) -> None:
    """An sshd on two ports: a run opens the second in the firewall before anyone needs it, and both are open after a reboot."""
    machine.output("echo 'Port 2222' >/etc/ssh/sshd_config.d/second.conf && systemctl restart ssh")
    assert not machine.listens(2222), "the firewall had the port open before the run"
    done = play(variables=LATER)
    assert done.status == 0, done.output
    assert machine.listens(22) and machine.listens(2222)
    began = time.monotonic()
    machine.reboot()
    measured("sshd on two ports, reboot", service.answers_since(began))
    assert machine.listens(22) and machine.listens(2222)
