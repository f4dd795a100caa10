# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The four hosts that share weights, the lab's mirror as their origin, and plays over them."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import ENVIRONMENT, MIRROR, ROOT, Play, over_the_lab
from testinfra.host import Host

MODELS = "/var/lib/inferops/models"
HOME = f"{MODELS}/lab--shards"
UNIT = "inferops-weights-lab--shards-0d6e4079.service"
SHARE = "inferops-share.service"
CONVERGE = "molecule/weights/converge.yml"
HOSTS = ("lab-gpu1", "lab-gpu2", "lab-gpu3", "lab-gpu4")


def command(playbook: str, *arguments: str, **variables: Any) -> list[str]:
    """The command line of a playbook."""
    extra = ["-e", json.dumps(variables)] if variables else []
    return ["ansible-playbook", *over_the_lab("weights_share").inventory_arguments(), playbook, *arguments, *extra]


def play(playbook: str, *arguments: str, **variables: Any) -> Play:
    """Run a playbook to its end."""
    done = subprocess.run(
        command(playbook, *arguments, **variables), cwd=ROOT, env=ENVIRONMENT, text=True, timeout=1200,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    return Play(done.returncode, done.stdout, 0.0)


def ask(method: str, page: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The mirror's own interface."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{MIRROR}/_lab/{page}", data=data, method=method), timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@dataclass
class Fleet:
    """All hosts by name, the one with the site's own mirror among them."""

    hosts: dict[str, Host]

    def forget(self, *names: str) -> None:
        """Take the weights off hosts; from here on what the origin sends is counted."""
        for name in names:
            self.hosts[name].run_expect(
                [0], f"systemctl stop {UNIT} {SHARE} 2>/dev/null; systemctl reset-failed 2>/dev/null; rm -rf {MODELS}/*/* /var/lib/inferops/progress/*",
            )
        ask("DELETE", "settings")
        ask("DELETE", "stats")

    def sent(self) -> dict[str, int]:
        """Bytes that the origin sent of each file."""
        return {name: row["bytes"] for name, row in ask("GET", "stats")["files"].items() if row["bytes"]}

    def manifest(self, name: str) -> dict[str, Any]:
        """The manifest of a host's weights."""
        found: dict[str, Any] = json.loads(self.hosts[name].file(f"{HOME}/main.manifest.json").content_string)
        return found

    def check(self, *names: str) -> int:
        """All hosts have the same weights, each by its own hashes, and nothing else lies beside them. Returns their size in bytes."""
        digests = set()
        for name in names:
            manifest = self.manifest(name)
            digests.add(manifest["digest"])
            sums = self.hosts[name].check_output(f"cd {HOME}/main && sha256sum $(find -type f -printf '%P\\n')")
            assert sorted(sums.splitlines()) == sorted(f"{file['sha256']}  {file['path']}" for file in manifest["files"])
            assert self.hosts[name].check_output(f"ls -A {HOME}").split() == ["main", "main.manifest.json"]
        assert len(digests) == 1
        return int(self.manifest(names[0])["total_bytes"])

    def journal(self, name: str) -> str:
        """What the last start of a host's download said."""
        host = self.hosts[name]
        invocation = host.check_output("systemctl show --value --property=InvocationID %s", UNIT)
        return str(host.check_output("journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=%s", invocation))


def here(name: str) -> Path:
    """A file beside the tests."""
    return Path(__file__).resolve().parent / name
