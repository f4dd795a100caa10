# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A GPU that must not be used: the service says so and does not start, a run fails at once, and the service serves by itself when the GPU is mended."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import ENVIRONMENT, ROOT, Play, Scenario, Unit, wait_until
from openai import OpenAI
from test_2_failures import answers
from testinfra.host import Host

STATES = "/run/lab/gpu_states.json"
SAYS = "has to be reset: the driver's recovery action is Reset, 2 uncorrectable ECC errors, row remapping pending; fix: "


def sicken(host: Host, **states: Any) -> None:
    """Have nvidia-smi report these states by GPU; without any all GPUs are well (lab/image/files/usr/bin/nvidia-smi)."""
    host.run_expect([0], "mkdir -p /run/lab && printf %%s %s > %s.new && chmod 644 %s.new && mv %s.new %s", json.dumps(states), *[STATES] * 4)


@pytest.fixture(autouse=True)
def well(host: Host) -> Iterator[None]:
    """Leaves the GPUs well, and so the service serving."""
    yield
    host.run("rm -f %s", STATES)


@pytest.fixture
def held(host: Host, unit: Unit) -> None:
    """A service that is restarted while its last GPU has to be reset."""
    sicken(host, **{"3": {"recovery": "Reset", "ecc": 2, "pending": True}})
    host.run_expect([0], "systemctl restart --no-block %s", unit.name)
    wait_until(lambda: unit.show("StatusText").startswith("not starting: GPU 3 (GPU-"), 20, f"its status: {unit.show('StatusText')}", every=0.2)


def test_it_waits_and_starts_by_itself(held: None, host: Host, unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """No failure is counted, no engine runs; after the reset that the status names, it serves."""
    assert SAYS in unit.show("StatusText") and unit.show("ActiveState") == "activating"
    assert unit.host.run("pgrep --parent %s", unit.main_pid).rc == 1, "no engine"
    assert not answers(client, service["name"])
    # In use by persistence mode, as the real one refuses; then the commands that the status names.
    assert "In use by another client" in host.run_expect([0], "nvidia-smi --gpu-reset -i 3 || test $? = 255").stdout
    for command in unit.show("StatusText").partition("(nvidia-smi")[2].partition(")")[0].split(";"):
        host.run_expect([0], f"nvidia-smi {command.replace('nvidia-smi', '').strip()}")
    began = time.monotonic()
    wait_until(lambda: answers(client, service["name"]), 45, "it answers again")
    print(f"mended: {time.monotonic() - began:.0f} s")
    invocation = unit.show("InvocationID")
    said = host.check_output("journalctl --output=cat _SYSTEMD_INVOCATION_ID=%s", invocation)
    assert said.count("not starting: ") == 1 and unit.show("NRestarts") == "0"
    assert json.loads(host.check_output("cat /run/inferops-supervisor/%s/state.json", unit.name.rpartition(".")[0]))["failed"] == 0


def test_a_run_fails_at_once(held: None, play: Callable[..., Play], unit: Unit, scenario: Scenario) -> None:
    """The plan names the GPU; whoever follows the unit does not wait for the hour that a start may take."""
    began = time.monotonic()
    done = play()
    assert done.status != 0 and "GPU 3 (NVIDIA H100 80GB HBM3) does not work" in done.output
    words = ["ansible", "lab-gpu1", *scenario.inventory_arguments(), "--become", "-m", "inferops.gpu.unit_status", "-a", f"unit={unit.name} wait=10"]
    followed = subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert "cause: 'GPU 3 (GPU-" in followed.stdout and "failed_start: true" in followed.stdout, followed.stdout + followed.stderr
    assert time.monotonic() - began < 60


def test_a_failing_nvidia_smi_prevents_no_start(host: Host, unit: Unit, client: OpenAI, service: dict[str, Any]) -> None:
    """A driver that does not answer says nothing about the GPUs; the journal says that the GPUs are unknown."""
    sicken(host, **{"*": {"error": "Failed to initialize NVML: Insufficient Permissions", "status": 4}})
    host.run_expect([0], "systemctl restart %s", unit.name)
    wait_until(lambda: answers(client, service["name"]), 30, "it answers")
    assert "the health of the GPUs is unknown: " in host.check_output("journalctl --output=cat _SYSTEMD_INVOCATION_ID=%s", unit.show("InvocationID"))
