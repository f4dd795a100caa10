# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of services on one host and on several: the supervisor understands the options that the plan gives it, and the template writes all of them."""

from __future__ import annotations

import base64
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


@pytest.fixture
def single(plan_hosts: Callable[[list[HostInput]], Plan]) -> dict[str, Any]:
    """The unit of a service on one host, as the template gets it."""
    variables = {
        "model_services": [service(name="small", model="qwen3-0.6b", api_key="k", gpus=[0])], "plan_gpus": gpus(1), "model_service_liveness_timeout": 77,
    }
    made = plan_hosts([HostInput("gpu1", variables, None)])
    assert made.errors == []
    (found,) = units.unit_items(made.hosts["gpu1"]["services"], {"small": {"VLLM_API_KEY": "k"}})
    return found


def test_a_service_on_one_host_has_the_supervisor_too(single: dict[str, Any]) -> None:
    """With the API that it probes, and without anything of several hosts."""
    options = supervisor.read_options(single["words"][4:])
    assert (options.role, options.service, options.name, options.model) == ("single", "small", "gpu1", "small")
    assert options.command == single["argv"] and options.command[0].endswith("/bin/vllm")
    assert options.engine == single["local_url"] and (options.liveness_timeout, options.start_timeout, options.task) == (77.0, 3600.0, "chat")
    assert (options.port, options.worker, options.withhold, options.clean) == (None, [], [], [])
    assert single["supervised"]["writable"] == [single["cache"], "/var/lib/inferops/failures/vllm-small"]
    (environment,) = units.unit_environments([single], {"small": {"VLLM_API_KEY": "k"}}, {})
    text = base64.b64decode(environment["content"]).decode()
    assert "VLLM_API_KEY" in text and "SUPERVISOR_TOKEN" not in text


def test_the_template_writes_a_unit_of_one_host(single: dict[str, Any]) -> None:
    text = render(single)
    assert "\nDescription=vLLM serving small (Qwen/Qwen3-0.6B)\n" in text and "\nTemporaryFileSystem=/dev/shm:mode=1777\n" in text
    assert "\nType=notify\n" in text and "BindPaths" not in text and "LoadCredential" not in text


def test_only_the_unit_that_reads_them_gets_the_files(single: dict[str, Any]) -> None:
    tls = {"unit": single["unit"], "copied": {"ssl_keyfile": "/etc/letsencrypt/live/a/privkey.pem"}}
    assert "\nLoadCredential=ssl_keyfile:/etc/letsencrypt/live/a/privkey.pem\n" in render({**single, "tls": tls})
    assert "Credential=" not in render({**single, "tls": {**tls, "unit": "other.service"}})


def test_only_a_unit_on_amd_gpus_gets_their_groups(single: dict[str, Any]) -> None:
    """Without them the text is what it was: other text would restart each service."""
    plain = render(single)
    grouped = render({**single, "supervised": {**single["supervised"], "device_groups": ["render", "video"]}})
    lines = "# May open the GPUs' device files (/dev/kfd, /dev/dri/renderD*).\nSupplementaryGroups=render video\n"
    assert f"\n{lines}WorkingDirectory=" in grouped and grouped.replace(lines, "") == plain


def render(row: dict[str, Any]) -> str:
    """The text of a unit file."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROLE / "templates"), undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update({f"inferops.gpu.{name}": function for name, function in systemd.FilterModule().filters().items()})
    return environment.get_template("service.j2").render(item=row, __model_service_unit_directory="/etc/systemd/system")


def test_the_template_writes_a_unit(planned: dict[str, list[dict[str, Any]]]) -> None:
    """With every name that it uses, and each word of the command as one word."""
    for rows in planned.values():
        for row in rows:
            text = render(row)
            start = text.partition("\nExecStart=")[2].partition("\n# ")[0]
            assert shlex.split(start.replace("\\\n", " ")) == row["words"]
            assert f"\nRuntimeDirectory=inferops-supervisor/{row['unit'].rpartition('.')[0]}\n" in text
            assert f"\nEnvironmentFile={row['environment_file']}\n" in text
