# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of molecule/multi_node, the service on both of them, and its small engine, which misbehaves on request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import engine_misbehaviour
import pytest
import yaml
from lab import ENVIRONMENT, ROOT, Scenario, wait_until
from pair import PROMPT, Pair, machine

sys.path.insert(0, str(ROOT / "lab" / "small_engine"))

from small_engine import answers  # noqa: E402

INVENTORY = ROOT / "molecule" / "multi_node" / "inventory"
SERVICE: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars" / "pair.yml").read_text(encoding="utf-8"))["pair_service"]


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The whole job, on the two hosts of the service."""
    return Scenario((INVENTORY,), "site.yml", "pair")


@pytest.fixture(scope="session")
def pair() -> Pair:
    """The service and its two hosts."""
    return Pair(machine("multi-head"), machine("multi-worker"), SERVICE, f"http://{ENVIRONMENT['LAB_NETWORK']}.41:8001", ENVIRONMENT["LAB_NAME"], timeout=3)


@pytest.fixture(scope="session")
def right() -> str:
    """The one right answer, which passes through both ranks."""
    return answers.expected(PROMPT, ranks=2, tokens=16)


@pytest.fixture(scope="session")
def table() -> Iterator[dict[str, float]]:
    """Prints each failure with the seconds until the next right answer at the end."""
    rows: dict[str, float] = {}
    yield rows
    print("\n" + "\n".join(f"| {failure} | {seconds:.1f} s |" for failure, seconds in rows.items()))


@pytest.fixture
def serving(pair: Pair, right: str) -> None:
    """The service serves before the test."""
    wait_until(lambda: pair.status().startswith("serving") and pair.answers(right), 180, f"it serves: {pair.status()}")


@pytest.fixture
def misbehave(pair: Pair) -> Iterator[Callable[..., None]]:
    """Has the engine on a host misbehave; afterwards both behave again."""
    yield engine_misbehaviour.misbehave
    for host in (pair.head, pair.worker):
        engine_misbehaviour.misbehave(host)
