# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/cuda, its release, and plays on it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from lab import ENVIRONMENT, ROOT, SSH_CONFIG, Play
from testinfra.host import Host

NAME = "lab-cuda1"


@pytest.fixture(scope="session")
def host() -> Host:
    """The machine, with root's rights."""
    return testinfra.get_host(f"ssh://{NAME}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def release(host: Host) -> str:
    """Path of the release that stands."""
    return host.check_output("ls -d /opt/inferops/releases/vllm-*")


@pytest.fixture(scope="session")
def converge() -> Callable[..., Play]:
    """Runs the scenario's playbook to its end and returns how it went."""

    def run(variables: dict[str, Any] | None = None) -> Play:
        began = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(ROOT / "molecule/cuda/inventory"), str(ROOT / "molecule/cuda/converge.yml"), "-e", json.dumps(variables or {})],
            cwd=ROOT, env=ENVIRONMENT, text=True, timeout=1200, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        return Play(done.returncode, done.stdout, time.monotonic() - began)

    return run
