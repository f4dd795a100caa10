# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A multi-node service on two hosts as its users and its operators see it, and what is done to its machines."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import testinfra
from lab import SSH_CONFIG, wait_until
from openai import OpenAI, OpenAIError
from testinfra.host import Host

# What is asked to see whether the answer is the right one.
PROMPT = "The capital of Norway is"


@dataclass
class Pair:
    """The two hosts; O(url) is the API's, O(lab) the prefix of the machines' containers, O(timeout) the seconds that an answer may take."""

    head: Host
    worker: Host
    service: dict[str, Any]
    url: str
    lab: str
    timeout: float = 20

    @cached_property
    def client(self) -> OpenAI:
        """The official client, with the service's key. One for all questions: making one takes a processor longer than a question does."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.service["api_key"], max_retries=0)

    def complete(self, prompt: str = PROMPT, tokens: int = 16, timeout: float | None = None) -> str:
        """A greedy answer; the same question has the same one."""
        done = self.client.completions.create(
            model=self.service["name"], prompt=prompt, max_tokens=tokens, temperature=0, extra_body={"ignore_eos": True},
            timeout=timeout or self.timeout,
        )
        return done.choices[0].text

    def answers(self, expected: str) -> bool:
        """Whether the answer comes, and is the right one."""
        try:
            return self.complete() == expected
        except OpenAIError:
            return False

    def comes_back(self, expected: str, seconds: float, since: float) -> float:
        """Wait for the next right answer; return how many seconds it took."""
        wait_until(lambda: self.answers(expected), seconds, f"it answers again; it says: {self.status()}", every=1)
        return time.monotonic() - since

    def inflict(self, failure: Callable[[Pair], None], right: str) -> float:
        """Inflict a failure and wait until it shows; return when that was."""
        before = self.runs()
        began = time.monotonic()
        failure(self)
        wait_until(lambda: not self.answers(right) or self.runs() != before, 90, "the failure is noticed")
        return began

    def units(self, host: Host) -> list[str]:
        """Units of the service on a host."""
        found = host.check_output("systemctl list-unit-files --no-legend --plain 'vllm-pair*' 'ray-*'").splitlines()
        return [line.split()[0] for line in found]

    def runs(self) -> dict[str, str]:
        """Of each unit on both hosts that systemd has loaded, the present run: systemd's id of it and the main process, which a boot may number alike."""
        found = {}
        for name, host in (("head", self.head), ("worker", self.worker)):
            blocks = host.check_output("systemctl show --property=Id,InvocationID,MainPID 'vllm-pair*' 'ray-*'").split("\n\n")
            for unit in (dict(line.split("=", 1) for line in block.splitlines()) for block in blocks if block.strip()):
                found[f"{name}/{unit['Id']}"] = f"{unit['InvocationID']}/{unit['MainPID']}"
        return found

    def beside(self) -> str:
        """The present run of the model that the head serves by itself."""
        return self.head.check_output("systemctl show --value --property=InvocationID vllm-beside.service")

    def status(self) -> str:
        """What systemctl says of the engine's unit."""
        return self.head.run("systemctl show --value --property=StatusText vllm-%s.service", self.service["name"]).stdout.strip()

    def container(self, host: Host) -> str:
        """The container that is a machine."""
        return f"{self.lab}-{name_of(host)}"

    def docker(self, *words: str) -> None:
        """What the lab's engine does to machines, as the mains or a cable would."""
        subprocess.run(["docker", *words], check=True, stdout=subprocess.DEVNULL, timeout=120)

    def reboot(self, *hosts: Host) -> None:
        """Pull the plug of machines and put it in again; wait until they can be asked, which is long before they serve."""
        names = [self.container(host) for host in hosts]
        self.docker("kill", *names)
        self.docker("start", *names)
        for host in hosts:
            wait_until(lambda host=host: is_reached(host), 60, "the machine is up again")

    @contextmanager
    def cut_off(self) -> Iterator[float]:
        """Drop all that goes between the two hosts, in both directions; SSH from the controller goes on. Yields when that was."""
        address = self.worker.check_output("hostname --all-ip-addresses").split()[0]
        rules = [f"{chain} {flag} {address} --jump DROP" for chain, flag in (("INPUT", "--source"), ("OUTPUT", "--destination"))]
        for rule in rules:
            self.head.run_expect([0], f"iptables --insert {rule}")
        try:
            yield time.monotonic()
        finally:
            for rule in rules:
                self.head.run_expect([0], f"iptables --delete {rule}")

    def outlasts_a_cut(self, right: str, seconds: float, processes: tuple[tuple[Host, str], ...], during: Callable[[], None] = lambda: None) -> float:
        """Cut the network for some seconds: the head reports which node is missing and since when, these processes end, and nobody gets an answer.

        Returns when the network was whole again. C(during) looks at something else while it is cut.
        """
        with self.cut_off() as since:
            wait_until(lambda: f"degraded: node {name_of(self.worker)} missing since" in self.status(), 60, f"the head reports it: {self.status()}")
            for host, words in processes:
                wait_until(lambda host=host, words=words: self.count(host, words) == 0, 60, f"{words} has ended on {name_of(host)}")
            assert not self.answers(right)
            during()
            time.sleep(max(0.0, seconds - (time.monotonic() - since)))
        return time.monotonic()

    def processes(self, host: Host, words: str) -> list[str]:
        """Processes of the service, and not of the model beside, whose command lines hold these words."""
        command = "for pid in $(pgrep --full %s); do if grep -qs -- -pair.service /proc/$pid/cgroup; then echo $pid; fi; done"
        return host.run(command, apart(words)).stdout.split()

    def kill(self, host: Host, words: str, signal: str = "KILL") -> None:
        """Send those processes a signal."""
        found = self.processes(host, words)
        assert found, f"there is no process {words}"
        host.run_expect([0], f"kill -{signal} {' '.join(found)}")

    def count(self, host: Host, words: str) -> int:
        """How many of those processes there are."""
        return len(self.processes(host, words))

    def counts(self, host: Host, patterns: tuple[str, ...]) -> dict[str, int]:
        """The same for several patterns, in one command."""
        command = (
            'for words in "$@"; do count=0; for pid in $(pgrep --full "$words"); do '
            "if grep -qs -- -pair.service /proc/$pid/cgroup; then count=$((count+1)); fi; done; echo $count; done"
        )
        words = " ".join(shlex.quote(apart(pattern)) for pattern in patterns)
        return dict(zip(patterns, map(int, host.check_output(f"sh -c {shlex.quote(command)} sh {words}").split())))


def machine(name: str) -> Host:
    """A machine by its name, over one kept SSH connection, with root's rights."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=SSH_CONFIG, sudo=True)


def name_of(host: Host) -> str:
    """A machine's name in the inventory."""
    name: str = host.backend.get_pytest_id().rpartition("//")[2]
    return name


def is_reached(host: Host) -> bool:
    """Whether a machine lets one log in."""
    try:
        return host.run("true").rc == 0
    except RuntimeError:
        return False


def apart(words: str) -> str:
    """A pattern for words that does not match itself: it stands in the command line of the shell that looks for it."""
    return f"[{words[0]}]{words[1:]}"
