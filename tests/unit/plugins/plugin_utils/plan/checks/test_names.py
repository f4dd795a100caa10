# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that would make two things one: files, folders and accounts that a service would share with somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _accounts
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.settings.accounts import LONGEST, MARK, account_name
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]


def absent(name: str) -> dict[str, Any]:
    return {"name": name, "state": "absent"}


@pytest.mark.parametrize(
    ("services", "variables", "why"),
    [
        ([service(name="weights")], {}, "its file /etc/inferops/weights.env is already used by the download of weights"),
        ([service(name="all")], {}, "all means every service in remove.yml"),
        ([service(name="uv")], {}, "its file /var/cache/inferops/uv is already used by uv's cache (vllm_uv_cache_dir)"),
        ([service(name="a")], {"vllm_uv_cache_dir": "/var/cache/inferops/a/uv"}, "its file /var/cache/inferops/a is already used by"),
        # Whoever goes takes its files along, those of its former parts too.
        ([service(name="foo.ray-head"), absent("foo")], {}, "its file /etc/inferops/foo.ray-head.env is already used by service foo.ray-head"),
        ([absent("foo.ray-worker"), service(name="foo")], {}, "/etc/inferops/foo.ray-worker.env"),
        ([service(name="mirror")], {}, "its account would be inferops-mirror, which is the account of the mirror"),
        ([service(name="one")], {"host_user": "inferops-one"}, "which is the download account"),
        ([service(name="one")], {"host_group": "inferops-one"}, "which is the group of all services"),
    ],
)
def test_names_that_are_taken(plan: Plans, services: list[Any], variables: dict[str, Any], why: str) -> None:
    found = plan(*services, **variables).errors
    assert [error.key for error in found] == ["name"] and why in found[0].why
    # The fix leads to a plan.
    others = [{**one, "name": f"other-{number}"} for number, one in enumerate(services)]
    assert plan(*others, **variables).errors == []


def test_a_service_may_be_called_like_anything_else(plan: Plans) -> None:
    names = ("weights-2", "foo.ray", "ray-head", "vllm", "network-a", "models", "jobs", "served", "a.b")
    services = [service(name=name, port=8001 + number, gpus=[number % 4], vllm_args={"tensor_parallel_size": 1}) for number, name in enumerate(names)]
    assert [error for error in plan(*services).errors if error.key == "name"] == []


def test_a_checks_mark_is_not_that_of_a_network(plan: Plans) -> None:
    found = plan(service(name="network-a", gpus=[0, 1]), service(name="a", port=8002, gpus=[2, 3], distributed={"nodes": 2, "backend": "mp"})).errors
    assert ("a", "name") in keys_of(found) and any("/var/lib/inferops/checked/network-a" in error.why for error in found)


@pytest.mark.parametrize(
    ("comment", "refused"),
    [
        (f"{MARK}qwen", False),
        (f"{MARK}another", True),
        ("Somebody,,,", True),
        ("", True),
    ],
)
def test_an_account_that_is_there_has_to_be_ours(plan: Plans, comment: str, refused: bool) -> None:
    """Nobody else's processes, files and rights are to be a service's."""
    facts = host_facts(accounts={"inferops-qwen": {"uid": 999, "comment": comment}})
    found = plan(service(), facts=facts).errors
    assert [(error.key, "inferops-qwen, which exists on the host" in error.why) for error in found] == ([("name", True)] if refused else [])
    assert plan(service(), facts=facts, model_service_account_prefix="llm-").errors == []
    assert plan(service(name="other"), facts=facts).errors == []


def test_the_marks_are_one() -> None:
    """The plan's and the host's."""
    assert MARK == _accounts.MARK


def test_accounts_are_names_for_linux_and_no_two_are_one() -> None:
    names = ["a", "a.b", "a-b", "x" * 63, "x" * 62 + "y", "qwen3-235b-a22b-instruct-2507", "qwen3-235b-a22b-thinking-2507", "0", "a" * 23, "a" * 24]
    for begin in ("inferops-", "a" * 16, "_"):
        found = [account_name(begin, name) for name in names]
        assert len(set(found)) == len(names) and all(len(one) <= LONGEST and one.startswith(begin) and "." not in one for one in found)
    assert account_name("inferops-", "qwen3-235b") == "inferops-qwen3-235b"
    # No service's name has the letter that begins a digest.
    assert "_" in account_name("inferops-", "a.b")


@pytest.mark.parametrize("value", ["", "Inferops-", "9-", "a" * 17, "a b", 5, None])
def test_prefixes_that_are_none(plan: Plans, value: Any) -> None:
    assert keys_of(plan(service(), model_service_account_prefix=value).errors) == [("", "model_service_account_prefix")]


@pytest.mark.parametrize(("backend", "refused"), [("ray", True), ("mp", False)])
def test_a_node_that_is_called_like_the_engine(plan_hosts: Callable[[list[HostInput]], Plan], backend: str, refused: bool) -> None:
    """Beside Ray's head the engine is a part of that name, and the parts tell each other by name."""
    one = service(distributed={"nodes": 2, "backend": backend})
    found = plan_hosts([HostInput(name, {"model_services": [one], "ansible_host": f"10.0.0.{number}"}) for number, name in enumerate(("gpu1", "engine"), 1)])
    assert [(error.host, error.value) for error in found.errors if error.key == "distributed"] == ([("engine", "engine")] if refused else [])
