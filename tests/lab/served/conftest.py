# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service that molecule/default brought up, as systemd, the kernel and its clients see it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lab import GROUP, ROOT, Unit
from openai import OpenAI
from testinfra.host import Host

VARIABLES = ROOT / "molecule" / "default" / "inventory" / "group_vars" / f"{GROUP}.yml"
SERVICE: dict[str, Any] = yaml.safe_load(VARIABLES.read_text(encoding="utf-8"))["model_services"][0]


@pytest.fixture(scope="session")
def service() -> dict[str, Any]:
    """The service as the inventory names it."""
    return SERVICE


@pytest.fixture(scope="session")
def unit(host: Host) -> Unit:
    """The unit of the service."""
    return Unit(host, f"vllm-{SERVICE['name']}.service")


@pytest.fixture(scope="session")
def address(addresses: dict[str, str]) -> str:
    """The service's address as the controller reaches it."""
    return f"http://{next(iter(addresses.values()))}:{SERVICE['port']}"


@pytest.fixture(scope="session")
def client(address: str) -> OpenAI:
    """The official client, on the controller, with the service's key."""
    return OpenAI(base_url=f"{address}/v1", api_key=SERVICE["api_key"], timeout=120, max_retries=0)
