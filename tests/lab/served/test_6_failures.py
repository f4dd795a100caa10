# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors injected into a running service: it comes back by itself, and leaves nothing behind."""

from __future__ import annotations

import time
from typing import Any

from lab import wait_until
from openai import OpenAI, OpenAIError


def answers(client: OpenAI, name: str) -> bool:
    """Whether the service completes a request; /health alone is not enough."""
    try:
        done = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Say one word."}], max_tokens=4)
    except OpenAIError:
        return False
    return bool(done.choices[0].message.content)


FAILURES = "/var/lib/inferops/failures/vllm-qwen3-235b"


def test_engine_stands_still(unit: Any, client: OpenAI, service: dict[str, Any]) -> None:
    """The engine's process is stopped: /health says 200. The supervisor notices, keeps the stacks of vLLM's own threads, and starts it again."""
    before = unit.main_pid
    unit.host.run_expect([0], "rm -rf %s/*", FAILURES)
    unit.host.run_expect([0], "kill -STOP %s", unit.host.check_output("pgrep --full 'VLLM::EngineCore' --oldest"))
    wait_until(lambda: unit.main_pid not in (before, "0"), 60, "systemd starts the service again")
    wait_until(lambda: answers(client, service["name"]), 500, "the service answers again")
    kept = unit.host.check_output("cat %s/*/output.log", FAILURES)
    assert "has been stopped (SIGSTOP) for 5 s" in kept.splitlines()[0] and "in run_busy_loop" in kept, kept[-3000:]


def test_engine_dies(unit: Any, client: OpenAI, service: dict[str, Any]) -> None:
    """The engine is killed under the server, which then ends with status 0; systemd starts it again."""
    before, restarts = unit.main_pid, int(unit.show("NRestarts"))
    engine = unit.host.check_output("pgrep --full 'VLLM::EngineCore' --oldest")
    unit.host.run_expect([0], "kill -KILL %s", engine)
    wait_until(lambda: unit.main_pid not in (before, "0"), 150, "systemd starts the service again")
    wait_until(lambda: answers(client, service["name"]), 500, "the service answers again")
    assert int(unit.show("NRestarts")) == restarts + 1, unit.journal()


def test_stop_leaves_nothing(unit: Any) -> None:
    """After a stop no process of the account, no listener and no shared memory remain; the stop is in time. tests/lab/releases starts it again."""
    began = time.monotonic()
    unit.host.run_expect([0], "systemctl stop %s", unit.name)
    assert time.monotonic() - began < 85  # TimeoutStopSec is 90
    assert unit.host.run("pgrep --list-full --uid %s", unit.show("User")).stdout == ""
    assert unit.host.run("find /dev/shm -user %s", unit.show("User")).stdout == ""
    assert unit.show("Result") == "success", unit.journal()
