# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A machine that serves reboots, loses its power, and runs out of memory: it serves again without anybody's help."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab import wait_until
from served import Service
from virtual import Machine

# Takes memory until the kernel has killed the engine; holds it for half a minute. The kernel never kills it: the small engine takes less memory than most.
HOG = """
import glob, os, time
[engine] = [path for path in glob.glob("/proc/[0-9]*") if "EngineCore" in open(path + "/comm").read() + open(path + "/cmdline").read()][:1]
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("-1000")
kept = []
while os.path.exists(engine):
    kept.append(b"x" * (16 << 20))
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
    restarts = int(service.show("NRestarts"))
    machine.output(f"cat >/root/hog.py <<'END'\n{HOG}\nEND")
    began = time.monotonic()
    machine.output("systemd-run --unit=hog --collect python3 /root/hog.py")
    wait_until(lambda: int(service.show("NRestarts")) > restarts, 600, "the kernel kills the engine", every=3)
    assert "Out of memory" in machine.output("dmesg")
    measured("memory full, the kernel kills the engine", service.answers_since(began))
    assert machine.output("systemctl is-active ssh systemd-journald").split() == ["active", "active"]
