# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of multi-node services: the supervisor understands the options that the plan gives it, and the template writes all of them."""

from __future__ import annotations

import shlex

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from ansible_collections.inferops.gpu.plugins.filter import systemd, units
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import main as supervisor
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, service

ROLE = Path(__file__).resolve().parents[6] / "roles" / "model_service"
NODES = ("gpu1", "gpu2")


@pytest.fixture(params=["ray", "mp"])
def planned(request: pytest.FixtureRequest, plan_hosts: Callable[[list[HostInput]], Plan]) -> dict[str, list[dict[str, Any]]]:
    """The units of a service on two nodes, as the template gets them."""
    big = service(name="big", model="qwen3-235b-a22b", gpus=..., distributed={"nodes": 2, "backend": request.param})
    h20 = gpus(8, name="NVIDIA H20", memory_bytes=97871 * 2**20)
    variables = {"model_services": [big], "plan_gpus": h20, "plan_accept": {"open-port": "x", "unchecked-values": "x"}}
    made = plan_hosts([HostInput(node, variables, None) for node in NODES])
    assert made.errors == []
    return {node: units.unit_items(made.hosts[node]["services"], {"big": {}}) for node in NODES}


def test_the_supervisor_reads_its_options(planned: dict[str, list[dict[str, Any]]]) -> None:
    """An option that it does not know would end every start with status 2, which systemd does not repeat."""
    found = {}
    for node, rows in planned.items():
        for row in rows:
            words = row["words"]
            assert words[:4] == ["/usr/bin/python3", "-EsB", "/opt/inferops/lib/current", "supervisor"]
            options = supervisor.read_options(words[4:])
            assert options.command == row["supervised"]["command"] and options.service == "big"
            found[node, options.name] = options
    leaders = [options for options in found.values() if options.role == "leader"]
    assert len(leaders) == 1 and leaders[0].name == "gpu1"
    workers = [options for options in found.values() if options.role == "worker"]
    assert sorted(options.name for options in workers) == sorted(leaders[0].worker)
    assert {(options.leader_address, options.leader_name, options.port) for options in workers} == {(leaders[0].listen, "gpu1", leaders[0].port)}
    assert len({options.digest for options in found.values()}) == 1
    assert {(options.heartbeat_timeout, options.join_timeout) for options in found.values()} == {(20.0, 600.0)}
    assert [options.liveness_timeout for options in found.values() if options.engine] == [300.0]


def test_the_template_writes_a_unit(planned: dict[str, list[dict[str, Any]]]) -> None:
    """With every name that it uses, and each word of the command as one word."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update({f"inferops.gpu.{name}": function for name, function in systemd.FilterModule().filters().items()})
    template = environment.get_template("supervisor.service.j2")
    for rows in planned.values():
        for row in rows:
            text = template.render(item=row, __model_service_unit_directory="/etc/systemd/system")
            start = text.partition("\nExecStart=")[2].partition("\n# ")[0]
            assert shlex.split(start.replace("\\\n", " ")) == row["words"]
            assert f"\nRuntimeDirectory=inferops-supervisor/{row['unit'].rpartition('.')[0]}\n" in text
            assert f"\nEnvironmentFile={row['environment_file']}\n" in text
