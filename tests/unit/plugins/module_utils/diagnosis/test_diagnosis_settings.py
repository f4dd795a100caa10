# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proxies, the clock, systemd and memory."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import clock, memory, proxy, systemd
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.commands import Unread
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context, Known, Peer
from diagnosis_builders import names, only, unit

PROXY = "http://user:s3cr3t@proxy:3128"

PROXIES = [
    ({}, []),
    ({"http_proxy": PROXY}, ["127.0.0.1", "localhost", "10.0.0.1", "10.0.0.2"]),
    ({"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost,127.0.0.0/8"}, ["10.0.0.1", "10.0.0.2"]),
    ({"http_proxy": PROXY, "no_proxy": "localhost,127.0.0.1,10.0.0.1", "NO_PROXY": "10.0.0.2"}, []),
    ({"all_proxy": PROXY, "no_proxy": "*"}, []),
    ({"http_proxy": PROXY, "no_proxy": "LocalHost, 127.0.0.1, 10.0.0.0/24,"}, []),
]


@pytest.mark.parametrize(("environment", "caught"), PROXIES)
def test_proxies(environment: dict[str, str], caught: list[str]) -> None:
    known = Known(address="10.0.0.1", peers=[Peer("gpu2", "10.0.0.2")])
    found = list(proxy.check(Context(units=[unit(environment=environment)], known={"q": known})))
    assert names(found) == (["proxy"] if caught else [])
    if caught:
        assert f"applies to {', '.join(caught)}, since" in found[0].cause and "s3cr3t" not in str(found)


def test_a_proxy_without_a_scheme_shows_no_password() -> None:
    found = only(proxy.check(Context(units=[unit(environment={"http_proxy": "user:s3cr3t@proxy:3128"})])))
    assert "http_proxy=proxy:3128" in found.cause


CLOCKS = [
    ("none", "NTP=yes\nNTPSynchronized=yes\n", []),
    ("none", "NTP=yes\nNTPSynchronized=no\n", ["clock-unsynchronised"]),
    ("none", "NTP=no\nCanNTP=no\nNTPSynchronized=no\n", ["clock-unsynchronised"]),
    ("none", "", []),
    ("docker", "NTPSynchronized=no\n", []),
]


@pytest.mark.parametrize(("container", "said", "expected"), CLOCKS)
def test_clocks(monkeypatch: pytest.MonkeyPatch, container: str, said: str, expected: list[str]) -> None:
    monkeypatch.setattr(clock, "output", lambda *command, **options: said if command[0] == "timedatectl" else container)
    assert names(clock.check(Context())) == expected


FAILED = "inferops-weights-x.service loaded failed failed Download\nvllm-q.service loaded failed failed x\napt-daily.service loaded failed failed y\n"


def test_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of services have checks of their own; units that services do not need are not reported."""
    monkeypatch.setattr(systemd, "output", lambda *command: FAILED)
    found = list(systemd.check(Context(units=[unit(DropInPaths="/etc/x.conf /etc/y.conf", NeedDaemonReload="yes")])))
    assert names(found) == ["unit-drop-in", "daemon-reload", "host-unit-failed"]
    assert "/etc/x.conf, /etc/y.conf" in found[0].cause and found[2].service == "" and "inferops-weights-x" in found[2].cause
    assert names(systemd.check(Context(units=[unit()]))) == ["host-unit-failed"]


KILL = (
    "2026-11-26T14:03:11+00:00 gpu1 kernel: oom-kill:constraint={},nodemask=(null),cpuset=vllm-q.service,mems_allowed=0,{}"
    "task_memcg=/system.slice/{},task=VLLM::EngineCor,pid=42,uid=998\n"
)


@pytest.mark.parametrize(("text", "expected"), [
    ("", ""),
    (KILL.format("CONSTRAINT_NONE", "global_oom,", "vllm-q.service") * 2, "the host's memory ran out, and the kernel has killed 2 processes of vllm-q.service"),
    (KILL.format("CONSTRAINT_MEMCG", "", "vllm-q.service"), "the unit's own limit"),
    (KILL.format("CONSTRAINT_NONE", "global_oom,", "other.service"), ""),
])
def test_memory(text: str, expected: str) -> None:
    found = list(memory.judge(text, {"vllm-q.service": "q"}))
    assert names(found) == (["out-of-memory"] if expected else [])
    assert not expected or (expected in found[0].cause and "2026-11-26T14:03:11" in found[0].cause and found[0].service == "q")


def test_without_the_kernels_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*command: str) -> str:
        raise Unread(f"{command[0]} is not installed")

    monkeypatch.setattr(memory, "output", missing)
    (found,) = memory.check(Context())
    assert found == ("the kernel's messages", "journalctl is not installed; dmesg is not installed")
