# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units and hosts for the tests of the doctor's checks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import Finding, Unknown
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.units import Unit


def unit(service: str = "q", text: str = "", environment: dict[str, str] | None = None, gpus: list[int] | None = None, **properties: str) -> Unit:
    """A unit that serves, unless its properties say otherwise."""
    usual = {"ActiveState": "active", "SubState": "running", "LoadState": "loaded", "UnitFileState": "enabled", "User": "", "NRestarts": "0"}
    return Unit(f"vllm-{service}.service", service, 8001, gpus, text, {**usual, **properties}, environment or {})


def put(root: Path, path: str, text: str | bytes = "") -> Path:
    """A file of the host."""
    found = root / path.lstrip("/")
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_bytes(text if isinstance(text, bytes) else text.encode())
    return found


def context(root: Path, *units: Unit, **others: Any) -> Context:
    """A host whose /proc and /sys are in a folder."""
    return Context(units=units, root=str(root), **others)


def names(found: Iterable[Any]) -> list[str]:
    """What was found, by name; what could not be read has a question mark."""
    return [one.check if isinstance(one, Finding) else f"?{one.what}" for one in found if isinstance(one, (Finding, Unknown))]


def only(found: Iterable[Any]) -> Finding:
    """The one finding."""
    (one,) = list(found)
    assert isinstance(one, Finding)
    return one
