# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine of molecule/tasks, with a service of each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from lab import GROUP, Scenario, over_the_lab
from openai import OpenAI

SCENARIO = over_the_lab("tasks")


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """site.yml with a service of each task."""
    return SCENARIO


def services() -> list[dict[str, Any]]:
    """The services, as the inventory names them."""
    variables = yaml.safe_load((SCENARIO.inventories[-1] / "group_vars" / f"{GROUP}.yml").read_text(encoding="utf-8"))
    return list(variables["model_services"])


@pytest.fixture(scope="session", name="client_of")
def _client_of(addresses: dict[str, str]) -> Callable[[str], OpenAI]:
    """The official client of a service by its name, on the controller."""
    ports = {service["name"]: service["port"] for service in services()}
    address = next(iter(addresses.values()))
    return lambda name: OpenAI(base_url=f"http://{address}:{ports[name]}/v1", api_key="none", timeout=120, max_retries=0)
