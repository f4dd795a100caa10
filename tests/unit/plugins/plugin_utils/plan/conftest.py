# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan's own data, read once: the roles' defaults, the catalogue and the table of flags as they are shipped."""

from __future__ import annotations

import json

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, built_in
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import FlagTable
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import FILES as TABLE_FILES, Tables, build

ROOT = Path(__file__).resolve().parents[5]
FILES = ROOT / "roles" / "plan" / "files"


@pytest.fixture(scope="session")
def defaults() -> dict[str, Any]:
    """Defaults of every role."""
    found: dict[str, Any] = {}
    for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        found.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return found


@pytest.fixture(scope="session")
def families() -> list[dict[str, Any]]:
    """Contents of the catalogue's files."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((FILES / "catalogue").glob("*.yml"))]


@pytest.fixture(scope="session")
def catalogue(families: list[dict[str, Any]]) -> Catalogue:
    """The shipped catalogue."""
    return built_in(families)


@pytest.fixture(scope="session")
def flag_data() -> dict[str, Any]:
    """The shipped table of flags, as JSON has it."""
    return json.loads((FILES / "vllm_flags.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def flags(flag_data: dict[str, Any]) -> FlagTable:
    """The shipped table of flags."""
    return FlagTable(flag_data)


@pytest.fixture(scope="session")
def tables() -> Tables:
    """All shipped tables."""
    # JSON is YAML, but ten times as slow to read as that.
    texts = {key: (name, (FILES / name).read_text(encoding="utf-8")) for key, name in TABLE_FILES.items()}
    return build({key: (json.loads if name.endswith(".json") else yaml.safe_load)(text) for key, (name, text) in texts.items()})


Plans = Callable[..., Plan]


@pytest.fixture(scope="session")
def plan_hosts(defaults: dict[str, Any], catalogue: Catalogue, tables: Tables) -> Callable[[list[HostInput]], Plan]:
    """Plans hosts with everything that is shipped."""
    return lambda hosts: resolve(hosts, defaults, catalogue, tables)


@pytest.fixture(scope="session")
def plan(plan_hosts: Callable[[list[HostInput]], Plan]) -> Plans:
    """Plans one host, gpu1, with these services, further variables and facts. Nobody is warned of open ports."""
    accepted = dict.fromkeys(("open-port", "key-scope", "cuda-compiler", "unchecked-values"), "of no matter here")

    def plan_one(*services: Mapping[str, Any], facts: Any = None, **variables: Any) -> Plan:
        return plan_hosts([HostInput("gpu1", {"model_services": list(services), "plan_accept": accepted, **variables}, facts)])

    return plan_one
