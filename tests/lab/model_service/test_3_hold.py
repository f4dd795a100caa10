# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""model_service_restart: false. What runs and has changed is left as it is as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import OpenAI

LEFT = "qwen3-235b: on hold, with unchanged files"


def state(unit: Any, service: dict[str, Any]) -> tuple[str, str, str]:
    """Process, start, and what stands in the service's files."""
    files = unit.host.check_output("sha256sum /etc/systemd/system/%s /etc/inferops/%s.env", unit.name, service["name"])
    return unit.main_pid, unit.show("InvocationID"), files


def test_a_change_is_held(play: Callable[..., Any], unit: Any, client: OpenAI, service: dict[str, Any]) -> None:
    """Another context, another key: neither files nor process change, the run passes and says so, and the old key still opens."""
    before = state(unit, service)
    changed = {**service, "api_key": "sk-lab-another", "vllm_args": {**service["vllm_args"], "max_model_len": 1024}}
    done = play(variables={"model_services": [changed], "model_service_restart": False})
    assert done.status == 0, done.output
    assert LEFT in done.output
    assert state(unit, service) == before and before[0] != "0"
    assert [model.id for model in client.models.list()] == [service["name"]]


def test_nothing_to_hold(play: Callable[..., Any], unit: Any, service: dict[str, Any]) -> None:
    """Without a change there is nothing to say, and nothing changes; as text, as a form sends it."""
    before = state(unit, service)
    done = play("-e", "model_service_restart=no")
    assert done.status == 0, done.output
    assert LEFT not in done.output
    assert [counts["changed"] for counts in done.recap.values()] == [0] * len(done.recap), done.output
    assert state(unit, service) == before


def test_a_move_is_refused(play: Callable[..., Any], unit: Any, service: dict[str, Any]) -> None:
    """The firewall would shut the port that it is reached at."""
    before = state(unit, service)
    done = play(variables={"model_services": [{**service, "port": 8005}], "model_service_restart": False})
    assert done.status != 0 and "a new port needs a restart" in done.output, done.output
    assert state(unit, service) == before
