# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever an inventory holds: errors come out, never an exception, and nobody's secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import render_errors
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, Entry, License
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.distributed import KEYS as DISTRIBUTED_KEYS
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.services import KEYS
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.architecture import Architecture, Mla
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.variants import Profile
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import table
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import VARIABLES, Plan, resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.tables import Tables
from generated import examples
from hypothesis import HealthCheck, given, settings, strategies as st
from plan_builders import host_facts, service

Planner = Callable[[list[HostInput]], Plan]
SECRET = "s3cr3t-of-the-test"

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 70000),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["qwen", "present", "absent", "0.32.0", "0.99.0", "main", "/var/lib", "Qwen/Qwen3-0.6B", "8001", "-5", "::", "{{ x }}", "a" * 5000, "qwen3-235b-a22b"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.text(max_size=8), st.integers(), st.none()), inner, max_size=4)),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(
            [
                "tensor_parallel_size",
                "data_parallel_size",
                "max_model_len",
                "tool_call_parser",
                "reasoning_parser",
                "shutdown_timeout",
                "hf_overrides.x",
                "api_key",
                "-",
                ".",
            ]
        ),
    ),
    VALUES,
    max_size=4,
)
SERVICES = st.one_of(
    VALUES,
    st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), st.one_of(VALUES, ARGUMENTS), max_size=8),
    # Mostly right, so that the garbage reaches the rules.
    st.builds(lambda arguments, environment, gpus: service(vllm_args=arguments, environment=environment, gpus=gpus), ARGUMENTS, VALUES, VALUES),
)
# A multi-node service that is nearly right, and the same one on each of them but for what is bent.
SPREAD = st.builds(
    lambda distributed, keys: service(**{"model": "qwen3-235b-a22b", "gpus": ..., "distributed": {"nodes": 2, **distributed}, **keys}),
    st.dictionaries(
        st.sampled_from([*DISTRIBUTED_KEYS, "hosts"]), st.one_of(SCALARS, st.sampled_from(["ray", "mp", "gpu0", "gpu1", "eth0", 2, 3, 8001])), max_size=2
    ),
    st.dictionaries(
        st.sampled_from(["name", "port", "gpus", "vllm_args", "vllm_version", "model", "state", "distributed"]), st.one_of(VALUES, ARGUMENTS), max_size=1
    ),
)
# An entry of the user's own, bent anywhere inside, and a service that uses it.
PARTS = [field.name for field in (*fields(Entry), *fields(Architecture), *fields(Mla), *fields(Profile), *fields(License))]
BENT = st.recursive(VALUES, lambda inner: st.dictionaries(st.one_of(st.sampled_from(PARTS), st.sampled_from(["a", "class"])), inner, max_size=5), max_leaves=12)
OWN_ENTRIES = st.builds(
    lambda parts, inner: {"mine": {**parts, **inner, "repo": "me/mine"}},
    st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["architecture", "profiles", "presets", "license", "arguments", "environment"]), BENT, max_size=4),
)
USERS = st.builds(
    lambda arguments, variants: service(model="mine", vllm_args=arguments, **variants),
    ARGUMENTS,
    st.dictionaries(st.sampled_from(["profile", "preset"]), st.one_of(st.just("a"), SCALARS), max_size=2),
)
VARIABLES_OF_A_HOST = st.one_of(
    st.builds(
        lambda variables, services: {**variables, "model_services": services},
        st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=3),
        st.one_of(VALUES, st.lists(SERVICES, max_size=3)),
    ),
    st.builds(lambda own, services: {"plan_catalogue": own, "model_services": services}, OWN_ENTRIES, st.lists(USERS, min_size=1, max_size=2)),
)
SPREAD_VARIABLES = st.builds(
    lambda variables, services, more: {"plan_gpus": 8, **variables, "model_services": [*services, *more]},
    st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=1),
    st.lists(SPREAD, min_size=1, max_size=2),
    st.lists(SERVICES, max_size=1),
)
RUNS = st.builds(Run, st.one_of(st.none(), st.frozensets(st.sampled_from(["gpu0", "gpu1", "gpu9"]))))
FACT_KEYS = ["index", "port", "address", "unit", "mount", "free_bytes", "pid", "options", "free_files", "name", "error", "split", "slices", "uuid"]
FACTS = st.one_of(
    VALUES,
    st.builds(
        lambda keys: host_facts(**keys),
        st.dictionaries(
            st.sampled_from([
                "gpus", "gpu_error", "listeners", "mounts", "weights", "partial_weights", "interfaces", "default_ipv4", "os", "python", "pythons",
                "paths", "wheels", "releases", "architecture", "systemd",
            ]),
            st.one_of(
                st.dictionaries(st.sampled_from(["eth0", "lo"]), st.lists(st.sampled_from(["10.0.0.1", "127.0.0.1", "gpu1"]))),
                VALUES,
                st.lists(st.dictionaries(st.sampled_from(FACT_KEYS), SCALARS), max_size=3),
            ),
            max_size=3,
        ),
    ),
)


@settings(max_examples=examples(500), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(VARIABLES_OF_A_HOST, FACTS), min_size=1, max_size=2))
def test_garbage_is_answered(plan_hosts: Planner, hosts: list[tuple[dict[str, Any], Any]]) -> None:
    """Documents or errors, each error naming its host with a reason and a fix on one line."""
    made = plan_hosts([HostInput(f"gpu{number}", variables, facts) for number, (variables, facts) in enumerate(hosts)])
    assert bool(made.hosts) != bool(made.errors)
    for error in made.errors:
        assert error.host.startswith("gpu") and error.why and error.fix
        assert not any("\n" in part for part in error.to_dict().values())
    assert render_errors(made.errors)
    assert all(isinstance(warning, str) for warning in made.warnings)


@settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(hosts=st.lists(st.tuples(SPREAD_VARIABLES, FACTS), min_size=1, max_size=3), run=RUNS)
def test_garbage_over_hosts_is_answered(
    defaults: dict[str, Any], catalogue: Catalogue, tables: Tables, hosts: list[tuple[dict[str, Any], Any]], run: Run
) -> None:
    """Likewise for multi-node services: whatever they disagree about, and whatever the run reaches."""
    made = resolve([HostInput(f"gpu{number}", variables, facts) for number, (variables, facts) in enumerate(hosts)], defaults, catalogue, tables, run=run)
    assert bool(made.hosts) != bool(made.errors)
    assert all(error.host.startswith("gpu") and error.why and error.fix for error in made.errors)
    assert bool(table.summary(list(made.hosts.values()))) == bool(made.hosts)


def spoil(value: Any) -> dict[str, Any]:
    """A service that holds the secret in every place for one, with garbage in the others."""
    return {
        "name": value,
        "api_key": SECRET,
        "secret_environment": {"TOKEN": SECRET},
        "apikey": SECRET,
        "vllm_args": {"api_key": SECRET, "hf_token": SECRET, "x": value},
    }


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_secrets_stay_secret(plan_hosts: Planner, value: Any) -> None:
    """Wherever the garbage stands, and however the list of services is bent."""
    for bent in ([spoil(value)], spoil(value), [[spoil(value)]], {"a": spoil(value)}, [f"api_key: {SECRET}"]):
        made = plan_hosts([HostInput("gpu1", {"model_services": bent})])
        assert made.errors and SECRET not in repr(made)
