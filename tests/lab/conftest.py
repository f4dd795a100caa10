# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the tests in the lab: the hosts over SSH, plays run to their end or killed, the mirror slowed down.

The tests expect a lab that is up; molecule/default brings it up and runs them. By hand: `molecule verify`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
from lab import ENVIRONMENT, GROUP, MIRROR, ROOT, Play, command, inventory_arguments, wait_until
from testinfra.host import Host


@pytest.fixture(scope="session")
def play() -> Callable[..., Play]:
    """Runs site.yml to its end and returns how it went."""

    def run(*arguments: str, variables: dict[str, Any] | None = None) -> Play:
        began = time.monotonic()
        done = subprocess.run(
            command(*arguments, variables=variables), cwd=ROOT, env=ENVIRONMENT, text=True, timeout=1200,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        return Play(done.returncode, done.stdout, time.monotonic() - began)

    return run


@pytest.fixture
def killed_play(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts site.yml, waits for a condition, and kills it with all its workers, as a lost terminal or machine would."""
    started: list[subprocess.Popen[str]] = []

    def kill(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(met: Callable[[], Any], what: str, seconds: float = 300) -> str:
        log = tmp_path / f"play-{len(started)}.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command(), cwd=ROOT, env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )
        started.append(process)

        def reached() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the play ended (status {process.returncode}) before {what}:\n{log.read_text(encoding='utf-8')}")
            return bool(met())

        wait_until(reached, seconds, what)
        kill(process)
        return log.read_text(encoding="utf-8")

    yield run
    for process in started:
        kill(process)


@pytest.fixture(scope="session")
def hosts() -> dict[str, dict[str, Any]]:
    """Connection variables of the hosts of the group, by inventory name, templates resolved by Ansible itself."""
    names = ("ansible_host", "ansible_user", "ansible_port", "ansible_ssh_private_key_file")
    wanted = ", ".join(f"'{name}': {name} | default('')" for name in names)
    said = subprocess.run(
        ["ansible", *inventory_arguments(), GROUP, "-m", "ansible.builtin.debug", "-a", f"msg={{{{ {{{wanted}}} }}}}"],
        cwd=ROOT, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    answers = re.finditer(r"^(\S+) \| SUCCESS => ", said, re.MULTILINE)
    return {answer[1]: json.JSONDecoder().raw_decode(said, answer.end())[0]["msg"] for answer in answers}


@pytest.fixture(scope="session")
def host(hosts: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The first host of the group over one kept SSH connection, with root's rights."""
    name, values = next(iter(hosts.items()))
    folder = tmp_path_factory.mktemp("ssh")
    config = folder / "config"
    config.write_text(
        f"Host {name}\n  HostName {values['ansible_host']}\n  User {values['ansible_user']}\n  Port {values['ansible_port'] or 22}\n"
        f"  IdentityFile {values['ansible_ssh_private_key_file']}\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  LogLevel ERROR\n  ControlMaster auto\n  ControlPath {folder}/%C\n  ControlPersist 60\n",
        encoding="utf-8",
    )
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(config), sudo=True)


@pytest.fixture
def slow_mirror() -> Iterator[None]:
    """Lets the mirror send 50 kB a second and response, so that a download can be caught in the middle."""

    def rate(value: int | None) -> None:
        request = urllib.request.Request(f"{MIRROR}/_lab/settings", data=json.dumps({"rate": value}).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    rate(50_000)
    yield
    rate(None)
