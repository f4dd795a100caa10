# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about what GPUs can take: memory, divisibility, drivers, types, sharing. Each on both sides of its bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import gpus, keys_of, service

Plans = Callable[..., Plan]
CODER = "qwen3-coder-480b-a35b-instruct-fp8"
H200 = {"name": "NVIDIA H200", "memory_bytes": 143771 * 2**20}
A100 = {"name": "NVIDIA A100-SXM4-80GB", "memory_bytes": 81920 * 2**20, "compute_capability": "8.0"}
T4 = {"name": "Tesla T4", "memory_bytes": 15360 * 2**20, "compute_capability": "7.5"}


def on(model: str, count: int = 8, given: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A service of this model on the first so many GPUs, with these arguments."""
    return service(model=model, gpus=list(range(count)), vllm_args=given or {}, **keys)


PASSES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("the coder on 4 large GPUs", [on(CODER, 4, {"max_model_len": 65536})], {"plan_gpus": gpus(8, **H200)}),
    ("the coder on 8 GPUs, its scales refined", [on(CODER, 8, {"max_model_len": 65536})], {"plan_gpus": gpus(8, **H200)}),
    ("the coder in the first version that refines", [on(CODER, 8, {"max_model_len": 65536}, vllm_version="0.29.0")], {"plan_gpus": gpus(8, **H200)}),
    ("kernels that pad", [on(CODER, 8, {"max_model_len": 65536, "moe_backend": "deep_gemm"})], {"plan_gpus": gpus(8, **H200)}),
    ("the coder with whole experts", [on(CODER, 8, {"enable_expert_parallel": True, "max_model_len": "128K"})], {"plan_gpus": gpus(8)}),
    (
        "the coder data parallel",
        [on(CODER, 8, {"tensor_parallel_size": 1, "data_parallel_size": 8, "enable_expert_parallel": True, "max_model_len": 131072})],
        {"plan_gpus": gpus(8, **H200)},
    ),
    ("a context that fits", [on("qwen3-32b", 1, {"max_model_len": 16384})], {"plan_gpus": gpus(1)}),
    ("a context for vLLM to choose", [on("qwen3-32b", 1, {"max_model_len": "auto"})], {"plan_gpus": gpus(1)}),
    ("memory that nobody knows", [on("qwen3-32b", 1)], {"plan_gpus": 1}),
    ("a CPU build", [on("qwen3-235b-a22b", 1, vllm_version="0.32.0+cpu")], {"plan_gpus": gpus(1)}),
    ("the model's own length", [on("qwen3-0.6b", 1, {"max_model_len": 40960})], {}),
    ("a length that overrides stretch", [on("qwen3-0.6b", 1, {"max_model_len": 131072, "hf_overrides": {"rope_parameters": {"factor": 4}}})], {}),
    ("a length that vLLM is to allow", [on("qwen3-0.6b", 1, {"max_model_len": 131072}, environment={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": 1})], {}),
    ("the oldest driver", [on("qwen3-8b", 1)], {"plan_gpus": gpus(1, driver_version="580.00")}),
    ("an older driver with an older CUDA", [on("qwen3-8b", 1)], {"plan_gpus": gpus(1, driver_version="525.60.13"), "vllm_torch_backend": "cu128"}),
    ("an older driver with another build", [on("qwen3-8b", 1, vllm_version="0.32.0+cu129")], {"plan_gpus": gpus(1, driver_version="550.1")}),
    ("a version of which no CUDA is known", [on("qwen3-8b", 1, vllm_version="0.31.1")], {"plan_gpus": gpus(1, driver_version="450.1")}),
    ("Blackwell", [on("qwen3-8b", 1)], {"plan_gpus": gpus(1, compute_capability="10.0"), "vllm_torch_backend": "cu128"}),
    ("a pipeline", [on("qwen3-235b-a22b-fp8", 4, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2})], {}),
    ("a pipeline of an old vLLM, before", [on("qwen3-235b-a22b-fp8", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}, vllm_version="0.15.1")], {}),
    (
        "a pipeline of a fixed vLLM",
        [on("qwen3-235b-a22b-fp8", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}, vllm_version="0.21.0")],
        {},
    ),
    (
        "a pipeline without async scheduling",
        [on("qwen3-235b-a22b-fp8", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2, "async_scheduling": False}, vllm_version="0.18.0")],
        {},
    ),
    ("no pipeline", [on("qwen3-235b-a22b-fp8", 2, vllm_version="0.18.0")], {}),
    (
        "a partition that is one",
        [on("qwen3-8b", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "20,16"})],
        {},
    ),
]

FAILS: list[tuple[str, list[dict[str, Any]], dict[str, Any], tuple[str, str], tuple[str, ...]]] = [
    (
        "the coder on 8 GPUs before scales were refined",
        [on(CODER, vllm_version="0.28.0")],
        {"plan_gpus": gpus(8, **H200)},
        ("qwen", "vllm_args.tensor_parallel_size"),
        (
            "2560 over 8 ranks is 320",
            "tensor_parallel_size to 4",
            "as fp8-blocks in plan_accept",
            "enable_expert_parallel: true, tensor_parallel_size: 8",
            "enable_expert_parallel: true, tensor_parallel_size: 1, data_parallel_size: 8",
        ),
    ),
    ("GLM-4.7-FP8 on 4 x 80 GB", [on("glm-4.7-fp8", 4)], {"plan_gpus": gpus(4)}, ("qwen", "gpus"), ("82.", "too much, without any KV cache", "use 8 such GPUs")),
    ("GLM-4.7 on 8 x 80 GB", [on("glm-4.7", 8)], {"plan_gpus": gpus(8)}, ("qwen", "gpus"), ("serve glm-4.7-fp8", "use 16 such GPUs")),
    (
        "too long a context",
        [on("qwen3-32b", 1, {"max_model_len": 40960})],
        {"plan_gpus": gpus(1)},
        ("qwen", "vllm_args.max_model_len"),
        ("10.0 GiB of KV cache", "set max_model_len to", "kv_cache_dtype: fp8", "use 2 such GPUs (tensor_parallel_size 2)", "serve qwen3-32b-fp8"),
    ),
    (
        "the model's own length",
        [on("qwen3-32b", 1)],
        {"plan_gpus": gpus(1)},
        ("qwen", "vllm_args.max_model_len"),
        ("40960 (the model's own)",),
    ),
    (
        "too small a cache by hand",
        [on("qwen3-32b", 1, {"kv_cache_memory_bytes": "1G", "max_model_len": 8192})],
        {"plan_gpus": gpus(1)},
        ("qwen", "vllm_args.max_model_len"),
        ("kv_cache_memory_bytes gives 1.0 GiB", "set max_model_len to 4096", "leave kv_cache_memory_bytes out"),
    ),
    ("a token more than the model knows", [on("qwen3-0.6b", 1, {"max_model_len": 40961})], {}, ("qwen", "vllm_args.max_model_len"), ("40960 tokens",)),
    ("heads that do not divide", [on("qwen3-14b", 3)], {}, ("qwen", "vllm_args.tensor_parallel_size"), ("40 attention heads", "tensor_parallel_size: 1 and pipeline_parallel_size: 3", "to 2")),
    (
        "a partition of too few layers",
        [on("qwen3-8b", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}, environment={"VLLM_PP_LAYER_PARTITION": "20,15"})],
        {},
        ("qwen", "environment.VLLM_PP_LAYER_PARTITION"),
        ("36 layers", "2 numbers"),
    ),
    (
        "a driver that is too old",
        [on("qwen3-8b", 1)],
        {"plan_gpus": gpus(1, driver_version="579.99")},
        ("qwen", "gpus"),
        ("CUDA 13.0", "driver 580", "as driver in plan_accept"),
    ),
    (
        "a driver that is too old for CUDA 12",
        [on("qwen3-8b", 1, vllm_version="0.32.0+cu129")],
        {"plan_gpus": gpus(1, driver_version="525.60.12")},
        ("qwen", "gpus"),
        ("CUDA 12.9", "525.60.13"),
    ),
    (
        "Blackwell with an older CUDA",
        [on("qwen3-8b", 1)],
        {"plan_gpus": gpus(1, compute_capability="10.0"), "vllm_torch_backend": "cu126"},
        ("qwen", "gpus"),
        ("CUDA 12.8", "as cuda in plan_accept"),
    ),
    (
        "FP8 on Volta",
        [on("qwen3-8b-fp8", 1, {"max_model_len": 4096, "dtype": "half"}, vllm_version="0.19.0")],
        {"plan_gpus": gpus(1, compute_capability="7.0")},
        ("qwen", "gpus"),
        ("fp8-block from compute capability 7.5", "as compute-capability in plan_accept"),
    ),
    ("BF16 on Turing", [on("qwen3-0.6b", 1, {"dtype": "bfloat16"})], {"plan_gpus": gpus(1, **T4)}, ("qwen", "vllm_args.dtype"), ("dtype: half",)),
    (
        "a pipeline that mixes users' tokens",
        [on("qwen3-235b-a22b-fp8", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": 2}, vllm_version="0.20.2")],
        {},
        ("qwen", "vllm_args.pipeline_parallel_size"),
        ("async_scheduling: false", "0.21.0", "as GHSA-v97p-wpxp-px84 in plan_accept"),
    ),
    (
        "the same in its first version, as text",
        [on("qwen3-235b-a22b-fp8", 2, {"tensor_parallel_size": 1, "pipeline_parallel_size": "2", "async_scheduling": True}, vllm_version="0.16.0")],
        {},
        ("qwen", "vllm_args.pipeline_parallel_size"),
        ("can mix",),
    ),
]


@pytest.mark.parametrize(("services", "more"), [case[1:] for case in PASSES], ids=[case[0] for case in PASSES])
def test_passes(plan: Plans, services: list[dict[str, Any]], more: dict[str, Any]) -> None:
    """No error, no warning."""
    made = plan(*services, **more)
    assert (made.errors, made.warnings) == ([], [])


@pytest.mark.parametrize(("services", "more", "where", "words"), [case[1:] for case in FAILS], ids=[case[0] for case in FAILS])
def test_fails(plan: Plans, services: list[dict[str, Any]], more: dict[str, Any], where: tuple[str, str], words: tuple[str, ...]) -> None:
    """Just this error, with these words."""
    made = plan(*services, **more)
    assert keys_of(made.errors) == [where]
    [error] = made.errors
    text = f"{error.value} {error.why} {error.fix}"
    assert [word for word in words if word not in text] == [], text


WARNINGS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("FP8 on an A100", on("qwen3-235b-a22b-fp8", 4, {"max_model_len": 32768}), {"plan_gpus": gpus(4, **A100)}, "FP8 weights save memory"),
    ("BF16 on Turing, unsaid", on("qwen3-0.6b", 1, {"max_model_len": 8192}), {"plan_gpus": gpus(1, **T4)}, "FP16 instead"),
]


@pytest.mark.parametrize(("one", "more", "words"), [case[1:] for case in WARNINGS], ids=[case[0] for case in WARNINGS])
def test_warnings(plan: Plans, one: dict[str, Any], more: dict[str, Any], words: str) -> None:
    """A warning that bears the name by which it can be accepted, and is not said when it is."""
    made = plan(one, **more)
    assert made.errors == [] and [words in warning and warning.endswith("[compute-capability]") for warning in made.warnings] == [True]
    accepted = plan(one, **more, plan_accept={"compute-capability": "known", "open-port": "lab"})
    assert (accepted.errors, accepted.warnings) == ([], [])


def test_the_longest_context_that_is_offered_is_taken(plan: Plans) -> None:
    """What an error offers passes without a warning, and the next block is reported."""
    [error] = plan(on("qwen3-32b", 1), plan_gpus=gpus(1)).errors
    longest = int(error.fix.split("set max_model_len to ")[1].split()[0])
    exact = plan(on("qwen3-32b", 1, {"max_model_len": longest}), plan_gpus=gpus(1))
    assert (exact.errors, exact.warnings) == ([], [])
    over = plan(on("qwen3-32b", 1, {"max_model_len": longest + 16}), plan_gpus=gpus(1))
    assert over.errors == [] and "GPU memory may be too small" in over.warnings[0] and "[memory]" in over.warnings[0]


def test_the_other_ways_out_pass_as_well(plan: Plans) -> None:
    """Each of those that the refusal of the coder names."""
    for given in (
        {"tensor_parallel_size": 4, "max_model_len": 65536},
        {"enable_expert_parallel": True, "tensor_parallel_size": 8},
        {"enable_expert_parallel": True, "tensor_parallel_size": 1, "data_parallel_size": 8, "max_model_len": 131072},
    ):
        assert plan(on(CODER, 8, given), plan_gpus=gpus(8, **H200)).errors == [], given


def test_accepted(plan: Plans) -> None:
    """An error that is accepted is a warning with the reason, and the plan goes on."""
    made = plan(on("qwen3-32b", 1), plan_gpus=gpus(1), plan_accept={"memory": "tried on 3 May", "open-port": "lab"})
    assert made.errors == [] and list(made.hosts) == ["gpu1"]
    [warning] = made.warnings
    assert "accepted as memory (tried on 3 May)" in warning and "10.0 GiB of KV cache" in warning


def test_accepted_findings_are_listed_with_their_reasons(plan: Plans) -> None:
    """For the report of a run. Without plan_accept there are none. A secret in the reason is hidden."""
    [error] = plan(on("qwen3-32b", 1), plan_gpus=gpus(1), plan_accept={"open-port": "lab"}).errors
    accepted = plan(on("qwen3-32b", 1), plan_gpus=gpus(1), plan_accept={"memory": "see http://ada:hunter22@wiki.example/", "open-port": "lab"}).accepted
    assert [(one.host, one.service, one.reason) for one in accepted if one.check == "memory"] == [
        (error.host, error.service, "see http://(hidden)@wiki.example/"),
    ]
    assert error.why in next(one.finding for one in accepted if one.check == "memory")


ACCEPTS: list[tuple[Any, str, str]] = [
    ({"memry": "x"}, "plan_accept.memry", "memory"),
    ({"zzz": "x"}, "plan_accept.zzz", "GHSA-v97p-wpxp-px84"),
    ({"model-divides-by-parallel-sizes": "x"}, "plan_accept.model-divides-by-parallel-sizes", "fix what it finds"),
    ({"ports-are-unique": "x"}, "plan_accept.ports-are-unique", "fix what it finds"),
    ({"memory": ""}, "plan_accept.memory", "why this is acceptable"),
    ({"memory": " "}, "plan_accept.memory", "why this is acceptable"),
    ({"memory": None}, "plan_accept.memory", "text"),
    ({"memory": True}, "plan_accept.memory", "text"),
    (["memory"], "plan_accept", "key: value"),
    ("memory", "plan_accept", "key: value"),
]


@pytest.mark.parametrize(("raw", "key", "words"), ACCEPTS)
def test_what_cannot_be_accepted(plan: Plans, raw: Any, key: str, words: str) -> None:
    """Unknown names, rules that stand fast, and no reason."""
    made = plan(service(), plan_accept=raw)
    assert [error.key for error in made.errors] == [key] and words in made.errors[0].fix


def two(first: Any, second: Any, **keys: Any) -> list[dict[str, Any]]:
    """Two small models on one GPU with these shares of it."""
    made = []
    for number, share in enumerate((first, second)):
        given = {"max_model_len": 8192} if share is None else {"max_model_len": 8192, "gpu_memory_utilization": share}
        made.append(on("qwen3-0.6b", 1, given, **{"name": f"s{number}", "port": 8001 + number, **keys}))
    return made


def test_sharing_a_gpu(plan: Plans) -> None:
    """Allowed when both say how much, and that is one GPU at most."""
    made = plan(*two(0.5, 0.5), plan_gpus=gpus(1))
    assert made.errors == [] and "share GPU 0" in made.warnings[0]
    assert plan(*two("0.7", 0.3), plan_gpus=gpus(1)).errors == []


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.51), (None, 0.4), (0.4, None), (None, None), (1, 0.1)])
def test_not_sharing_a_gpu(plan: Plans, first: Any, second: Any) -> None:
    """Too much together, or not said."""
    [error] = plan(*two(first, second), plan_gpus=gpus(1)).errors
    assert (error.service, error.key) == ("s1", "gpus") and "gpu_memory_utilization" in error.fix


def test_a_share_that_is_too_small(plan: Plans) -> None:
    """Memory is checked against the share."""
    made = plan(*two(0.97, 0.02), plan_gpus=gpus(1))
    assert keys_of(made.errors) == [("s1", "gpus")] and "0.02" in made.errors[0].why


def test_open_ports(plan: Plans) -> None:
    """Without a key: a warning a service. With one: what it does not guard, once a host. On the loopback address: neither."""
    open_one = plan(service(), plan_accept={}).warnings
    assert len(open_one) == 1 and "no api_key" in open_one[0] and "[open-port]" in open_one[0]
    keyed = plan(service(api_key="k", gpus=[0], model="qwen3-0.6b"), service(name="b", port=8002, api_key="k", gpus=[1], model="qwen3-0.6b"), plan_accept={})
    assert len(keyed.warnings) == 1 and "/invocations" in keyed.warnings[0] and "[key-scope]" in keyed.warnings[0]
    assert not any("api_key" in warning for warning in plan(service(host="127.0.0.1"), plan_accept={}).warnings)


def test_every_profile_fits_its_gpus(plan: Plans, catalogue: Any) -> None:
    """No profile of the catalogue, on one host, asks for what the plan refuses."""
    memory = {80: 81559, 96: 97871, 141: 143771}
    tried, tight = 0, []
    for entry in catalogue.entries.values():
        for profile in entry.profiles.values():
            if profile.nodes > 1 or entry.unsupported:
                continue
            read = {"revision": "0" * 40} if entry.remote_code else {}
            size = memory.get(profile.gpu_memory_gib, profile.gpu_memory_gib * 1024) * 2**20
            made = plan(
                on(entry.name, profile.gpus, {"trust_remote_code": True} if entry.remote_code else None, profile=profile.name, **read),
                plan_gpus=gpus(profile.gpus, name=profile.gpu, memory_bytes=size),
            )
            assert made.errors == [], (entry.name, profile.name)
            tight += [f"{entry.name} {profile.name}: {warning}" for warning in made.warnings if "[memory]" in warning]
            tried += 1
    assert tried > 50 and tight == []
