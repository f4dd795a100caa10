# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the tests in the lab: the hosts over SSH, plays run to their end or killed, the service and its client, the mirror slowed down.

The tests expect a lab that is up; a scenario of molecule brings it up and runs them. By hand: `molecule verify`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from lab import ENVIRONMENT, GROUP, MIRROR, ROOT, SERVED, SSH_CONFIG, Play, Scenario, Unit, wait_until
from openai import OpenAI
from testinfra.host import Host


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """What is played. Other scenarios than molecule/default have a fixture of their own."""
    return SERVED


@pytest.fixture(scope="session")
def play(scenario: Scenario) -> Callable[..., Play]:
    """Runs the scenario's playbook (or that of another scenario) to its end and returns how it went."""
    usual = scenario

    def run(*arguments: str, variables: dict[str, Any] | None = None, scenario: Scenario = usual) -> Play:
        began = time.monotonic()
        done = subprocess.run(
            scenario.command(*arguments, variables=variables), cwd=ROOT, env=ENVIRONMENT, text=True, timeout=scenario.seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        return Play(done.returncode, done.stdout, time.monotonic() - began)

    return run


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in path.read_text(encoding="utf-8").split()]
    return found + [other for child in found for other in descendants(child)]


@pytest.fixture
def killed_play(scenario: Scenario, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts the scenario's playbook, waits for a condition, and kills it with all its workers, as a lost terminal or machine would."""
    started: list[subprocess.Popen[str]] = []

    def kill(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            # Ansible's workers have sessions of their own.
            for pid in [process.pid, *descendants(process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def run(met: Callable[[], Any], what: str, *arguments: str, seconds: float = 300, variables: dict[str, Any] | None = None) -> str:
        log = tmp_path / f"play-{len(started)}.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                scenario.command(*arguments, variables=variables), cwd=ROOT, env=ENVIRONMENT, text=True,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )
        started.append(process)

        def reached() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the play ended (status {process.returncode}) before {what}:\n{log.read_text(encoding='utf-8')}")
            return bool(met())

        # What is to be caught in the middle may be short.
        wait_until(reached, seconds, what, every=0.1, slower=False)
        kill(process)
        return log.read_text(encoding="utf-8")

    yield run
    for process in started:
        kill(process)


@pytest.fixture(scope="session")
def addresses(scenario: Scenario) -> dict[str, str]:
    """Addresses of the hosts that are played on, by inventory name."""
    listed = subprocess.run(
        ["ansible", *scenario.inventory_arguments(), scenario.group, "--list-hosts"], cwd=ROOT, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout.split("\n")[1:]
    found = {}
    for name in filter(None, map(str.strip, listed)):
        said = subprocess.run(["ssh", "-G", "-F", SSH_CONFIG, name], check=True, stdout=subprocess.PIPE, text=True).stdout
        found[name] = next(line.split()[1] for line in said.splitlines() if line.startswith("hostname "))
    return found


@pytest.fixture(scope="session")
def host(addresses: dict[str, str]) -> Host:
    """The first host of the group over one kept SSH connection, with root's rights."""
    return testinfra.get_host(f"ssh://{next(iter(addresses))}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="session")
def service(scenario: Scenario) -> dict[str, Any]:
    """The first service, as the scenario's own inventory names it."""
    variables = yaml.safe_load((scenario.inventories[-1] / "group_vars" / f"{GROUP}.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = variables["model_services"][0]
    return found


@pytest.fixture(scope="session")
def unit(host: Host, service: dict[str, Any]) -> Unit:
    """The unit of the service."""
    return Unit(host, f"vllm-{service['name']}.service")


@pytest.fixture(scope="session")
def address(addresses: dict[str, str], service: dict[str, Any]) -> str:
    """The service's address as the controller reaches it."""
    return f"http://{next(iter(addresses.values()))}:{service['port']}"


@pytest.fixture(scope="session")
def client(address: str, service: dict[str, Any]) -> OpenAI:
    """The official client, on the controller, with the service's key."""
    return OpenAI(base_url=f"{address}/v1", api_key=service["api_key"], timeout=120, max_retries=0)


@pytest.fixture
def slow_rate() -> int:
    """Bytes a second of the slow mirror, for each response."""
    return 50_000


@pytest.fixture
def slow_mirror(slow_rate: int) -> Iterator[None]:
    """Lets the mirror send so slowly that a download can be caught in the middle."""

    def rate(value: int | None) -> None:
        request = urllib.request.Request(f"{MIRROR}/_lab/settings", data=json.dumps({"rate": value}).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    rate(slow_rate)
    yield
    rate(None)
