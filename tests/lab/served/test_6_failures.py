# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors injected into a running service: it comes back by itself, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable
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


def test_site_restarts_what_hangs(play: Callable[..., Any], unit: Any, client: OpenAI, service: dict[str, Any]) -> None:
    """The engine's process stands still: /health says 200 and the unit is active for ever. A run sees it, restarts it once, and ends well."""
    before = unit.main_pid
    unit.host.run_expect([0], "kill -STOP %s", unit.host.check_output("pgrep --full 'VLLM::EngineCore' --oldest"))
    done = play("-e", "verify_timeout=10", "-e", "model_service_stall_timeout=10")
    assert done.status == 0, done.output
    assert f"{service['name']} was restarted: no answer and no step of the engine for 10 s; it passed the health gate" in done.said
    assert unit.main_pid != before and answers(client, service["name"])


def test_engine_dies(unit: Any, client: OpenAI, service: dict[str, Any]) -> None:
    """The engine is killed under the server, which then ends with status 0; systemd starts it again."""
    before = unit.main_pid
    engine = unit.host.check_output("pgrep --full 'VLLM::EngineCore' --oldest")
    unit.host.run_expect([0], "kill -KILL %s", engine)
    wait_until(lambda: unit.main_pid not in (before, "0"), 150, "systemd starts the service again")
    wait_until(lambda: answers(client, service["name"]), 500, "the service answers again")
    assert unit.show("NRestarts") == "1", unit.journal()


def test_stop_leaves_nothing(unit: Any) -> None:
    """After a stop no process of the account, no listener and no shared memory remain; the stop is in time. tests/lab/releases starts it again."""
    began = time.monotonic()
    unit.host.run_expect([0], "systemctl stop %s", unit.name)
    assert time.monotonic() - began < 85  # TimeoutStopSec is 90
    assert unit.host.run("pgrep --list-full --uid %s", unit.show("User")).stdout == ""
    assert unit.host.run("find /dev/shm -user %s", unit.show("User")).stdout == ""
    assert unit.show("Result") == "success", unit.journal()
