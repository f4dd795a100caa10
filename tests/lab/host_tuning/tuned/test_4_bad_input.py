# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories with an error: each stops with one clear error before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from firewall import state
from lab import Play
from reach import FIRST, SECOND

SERVICE = {"name": "alone", "model": "qwen3-0.6b", "gpus": [0]}


@dataclass
class PlanError:
    """Variables of a run, and the words that the error must have."""

    variables: dict[str, Any]
    words: list[str]


ERRORS = {
    "a parameter that the kernel does not have": PlanError(
        {"kernel_sysctl": {"net.core.somaxcon": 1024}}, ["kernel_sysctl.net.core.somaxcon", "did you mean net.core.somaxconn?"]
    ),
    "a source that is no network": PlanError({"firewall_api_sources": ["10.0.0.0/8", "office"]}, ["firewall_api_sources", "office"]),
    "the port of SSH": PlanError({"model_services": [{**SERVICE, "port": 22}]}, ["22", "this is SSH's port"]),
    "the port of SSH that is not 22": PlanError({"model_services": [{**SERVICE, "port": 2222}]}, ["2222", "this is SSH's port"]),
    "no source at all": PlanError({"firewall_api_sources": []}, ["firewall_api_sources"]),
}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """What the hosts were before any of these runs."""
    return {name: state(name) for name in (FIRST, SECOND)}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_refused(error: PlanError, play: Callable[..., Play], before: dict[str, str]) -> None:
    """One error that names the error; the hosts are what they were."""
    done = play("--limit", "tuned", variables=error.variables)
    assert done.status != 0, done.output
    assert done.output.count("[ERROR]:") == 1, done.output
    assert [word for word in error.words if word not in done.output] == [], done.output
    assert "nothing was changed" in done.output and "Traceback" not in done.output
    assert {name: state(name) for name in (FIRST, SECOND)} == before


def test_all_errors_come_at_once(play: Callable[..., Play]) -> None:
    """Three errors, one run."""
    done = play("--limit", "tuned", variables={"kernel_sysctl": {"net.core.somaxcon": 1}, "firewall_api_sources": [], "firewall_logging": "loud"})
    assert [word for word in ("net.core.somaxcon", "firewall_api_sources", "firewall_logging") if word not in done.output] == [], done.output
