# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A caching mirror of the Hub: what it may do on its host, and what clients get from it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from lab import ENVIRONMENT, MIRROR, Play, wait_until
from testinfra.host import Host

UNIT = "inferops-hub-mirror.service"
OWN = f"http://{ENVIRONMENT['LAB_NETWORK']}.11:8090"
REPOSITORY = "Qwen/Qwen3-0.6B"


def read(path: str) -> bytes:
    """What the mirror answers to this controller."""
    with urllib.request.urlopen(f"{OWN}{path}", timeout=20) as answer:
        return bytes(answer.read())


def sent() -> int:
    """Bytes that the upstream has sent."""
    with urllib.request.urlopen(f"{MIRROR}/_lab/stats", timeout=10) as answer:
        return int(json.load(answer)["bytes"])


def test_it_may_write_nothing_but_its_cache(host: Host) -> None:
    """Under an account of its own."""
    shown = host.check_output("systemctl show --property=User,ProtectSystem,NoNewPrivileges,CapabilityBoundingSet,ReadWritePaths %s", UNIT)
    assert set(shown.split("\n")) == {
        "ReadWritePaths=/var/cache/inferops-mirror", "User=inferops-mirror", "CapabilityBoundingSet=", "ProtectSystem=strict", "NoNewPrivileges=yes",
    }
    assert host.file("/etc/inferops-mirror.toml").user == "root"


def test_a_file_is_asked_for_once(host: Host) -> None:
    """The second client gets it from the cache, also when the upstream is away; the bytes are those of the upstream."""
    found: dict[str, Any] = json.loads(read(f"/api/models/{REPOSITORY}/revision/main"))
    path = f"/{REPOSITORY}/resolve/{found['sha']}/config.json"
    first = read(path)
    with urllib.request.urlopen(f"{MIRROR}{path}", timeout=10) as answer:
        assert answer.read() == first
    before = sent()
    assert read(path) == first
    assert sent() == before


def test_it_comes_back(host: Host, play: Callable[..., Play]) -> None:
    """Killed, systemd starts it again; stopped and disabled, the next run does."""
    host.run_expect([0], "systemctl kill --signal=SIGKILL %s", UNIT)
    wait_until(lambda: host.run("systemctl is-active %s", UNIT).stdout.strip() == "active", 30, "systemd starts it again")
    host.run_expect([0], "systemctl disable --now %s", UNIT)
    done = play()
    assert done.status == 0, done.output
    assert host.check_output("systemctl is-active %s; systemctl is-enabled %s", UNIT, UNIT).split() == ["active", "enabled"]
