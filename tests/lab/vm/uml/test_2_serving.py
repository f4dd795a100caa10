# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A machine that serves reboots, loses its power, and runs out of memory: it serves again without anybody's help."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab import wait_until
from served import Service
from virtual import Machine

# Takes memory until the kernel has killed the engine; holds it for half a minute. The kernel never kills this program itself, and the engine first: a real
# one is the largest program of its host, the small one is not. A killed program whose parent cannot run stays as a zombie.
HOG = """
import glob, time

def is_running(path):
    try:
        return open(path + "/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

def score(path, value):
    with open(path + "/oom_score_adj", "w") as file:
        file.write(value)

[engine] = [path for path in glob.glob("/proc/[0-9]*") if "EngineCore" in open(path + "/comm").read() + open(path + "/cmdline").read()][:1]
score("/proc/self", "-1000")
score(engine, "1000")
kept = []
while is_running(engine):
    kept.append(b"x" * (4 << 20))
    time.sleep(0.01)
time.sleep(30)
"""


def test_reboot(machine: Machine, service: Service, measured: Callable[[str, float], None]) -> None:
    """After a reboot the service answers, and the firewall is up before it: nothing was open meanwhile."""
    began = time.monotonic()
    machine.reboot()
    measured("reboot", service.answers_since(began))
    assert "Status: active" in machine.output("ufw status")
    assert machine.output("systemctl is-system-running --wait || true") == "running", machine.output("systemctl --failed --no-pager")


def test_power_cut_while_serving(machine: Machine, service: Service, measured: Callable[[str, float], None]) -> None:
    """The power goes in the middle of an answer."""
    began = time.monotonic()
    machine.power_cut()
    measured("power cut while serving", service.answers_since(began))
    assert machine.output("systemctl is-system-running --wait || true") == "running", machine.output("systemctl --failed --no-pager")


def test_full_memory(machine: Machine, service: Service, measured: Callable[[str, float], None]) -> None:
    """Something else takes all memory: the kernel kills the engine, and systemd starts the service again until there is room for it."""
    restarts = service.restarts()
    machine.output(f"cat >/root/hog.py <<'END'\n{HOG}\nEND")
    began = time.monotonic()
    machine.output("systemd-run --unit=hog --collect python3 /root/hog.py")
    wait_until(lambda: service.restarts() > restarts, 600, "the kernel kills the engine", every=3)
    assert "Out of memory" in machine.output("dmesg")
    assert "EngineCor" in machine.output("dmesg | grep 'Killed process'")
    measured("memory full, the kernel kills the engine", service.answers_since(began))
    assert machine.output("systemctl is-active ssh systemd-journald").split() == ["active", "active"]
