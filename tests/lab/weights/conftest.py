# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two mirrors that can be told to misbehave, and the download of one model from them as a unit on the host.

The tests expect what molecule/weights has made: a lab, and a host on which the model has been fetched once.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lab import MIRROR, Scenario, Unit, over_the_lab, wait_until
from testinfra.host import Host

MODELS = "/var/lib/inferops/models"
HOME = f"{MODELS}/lab--shards"
SHARD = 8_000_000
# A byte from each mirror tells where its data comes from.
PROBES = 2
# What may be fetched twice when a connection is cut off: what was under way in it. Four files at a time.
UNDER_WAY = 4 * 256 * 1024


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The job on the host that fetches from both."""
    return over_the_lab("weights")


class Mirror:
    """One of the lab's mirrors, by its own interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, page: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_lab/{page}", data=data, method=method), timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def behave(self, **settings: Any) -> None:
        """Behave as told and otherwise well."""
        self.ask("DELETE", "settings")
        if settings:
            self.ask("POST", "settings", settings)

    def forget(self) -> None:
        """Count from nothing."""
        self.ask("DELETE", "stats")

    def files(self) -> dict[str, dict[str, int]]:
        """What was sent of each file, by its path in the repository."""
        return {name.partition("/")[2].partition("/")[2]: row for name, row in self.ask("GET", "stats")["files"].items()}

    @property
    def sent(self) -> int:
        """Bytes sent of all files."""
        return sum(row["bytes"] for row in self.files().values())


@dataclass
class Fetch:
    """The download on the host, and what came of it."""

    host: Host
    unit: Unit
    mirrors: tuple[Mirror, Mirror]

    def begin(self) -> None:
        """Nothing is there, the mirrors behave, nothing was sent."""
        self.host.run_expect([0], f"systemctl stop {self.unit.name}; systemctl reset-failed {self.unit.name}; find {HOME} -mindepth 1 -delete")
        for mirror in self.mirrors:
            mirror.behave()
            mirror.forget()

    def start(self) -> None:
        """As the role does it: one that has finished before does not start at boot any more."""
        self.host.run_expect([0], f"systemctl enable --quiet {self.unit.name} && systemctl start --no-block {self.unit.name}")

    def starts_at_boot(self) -> bool:
        """By the links on the disk. What systemctl show says of it is as old as the last daemon-reload."""
        return self.host.run("systemctl is-enabled %s", self.unit.name).stdout.strip() != "disabled"

    def status(self) -> dict[str, Any]:
        """What the status file says."""
        found: dict[str, Any] = json.loads(self.host.file(f"/var/lib/inferops/progress/{self.unit.name}.json").content_string)
        return found

    def there(self) -> int:
        """Bytes of the partial files on the disk."""
        return int(self.host.run(f"du -sb --apparent-size {HOME}/*.partial 2>/dev/null | cut -f1").stdout or 0)

    def until(self, size: int) -> None:
        """Wait until so many bytes are there."""
        wait_until(lambda: self.there() >= size, 60, f"{size} bytes of the download")

    def end(self, seconds: float = 60) -> str:
        """Wait for the unit to end by itself; its result."""

        def state() -> dict[str, str]:
            lines = self.host.check_output("systemctl show --property=ActiveState,Job,Result %s", self.unit.name).splitlines()
            return dict(line.split("=", 1) for line in lines)

        def ended() -> dict[str, str]:
            now = state()
            return now if now["ActiveState"] in ("inactive", "failed") and now.get("Job", "0") in ("", "0") else {}

        return str(wait_until(ended, seconds, "the download's end")["Result"])

    def run(self) -> float:
        """Start, and wait for a good end; the seconds it took."""
        began = time.monotonic()
        self.start()
        assert self.end() == "success", self.unit.journal()
        return time.monotonic() - began

    def manifest(self) -> dict[str, Any]:
        path = self.host.run_expect([0], f"ls {HOME}/*.manifest.json").stdout.strip()
        found: dict[str, Any] = json.loads(self.host.file(path).content_string)
        return found

    @property
    def sent(self) -> int:
        return sum(mirror.sent for mirror in self.mirrors)

    def check(self, twice: int = 0) -> None:
        """Complete, every file what the manifest says, nothing half done left; and no more than O(twice) bytes were fetched twice."""
        said = self.host.run_expect([0], f"cd {HOME} && ls -A && cat *.manifest.json && cd */ && sha256sum $(find -type f -printf '%P\\n')").stdout
        names, _brace, rest = said.partition("{")
        text, _brace, sums = rest.rpartition("}")
        manifest = json.loads("{" + text + "}")
        assert names.split() == ["main", "main.manifest.json"], "something else lies beside the model"
        assert sorted(line for line in sums.splitlines() if line) == sorted(f"{file['sha256']}  {file['path']}" for file in manifest["files"])
        again = self.sent - manifest["total_bytes"]
        assert again <= twice + PROBES, f"{again} bytes were fetched that were there\n{self.unit.journal()}"


@pytest.fixture(scope="session")
def mirrors() -> tuple[Mirror, Mirror]:
    """The first and the second of the inventory's endpoints."""
    return Mirror(MIRROR), Mirror(MIRROR.replace(":8080", ":8081"))


@pytest.fixture
def fetch(host: Host, mirrors: tuple[Mirror, Mirror]) -> Iterator[Fetch]:
    """A download that has not begun, from mirrors that behave well; they do so again afterwards."""
    name = host.run_expect([0], "systemctl list-unit-files --no-legend 'inferops-weights-lab--shards-*'").stdout.split()[0]
    found = Fetch(host, Unit(host, name), mirrors)
    found.begin()
    yield found
    for mirror in mirrors:
        mirror.behave()
