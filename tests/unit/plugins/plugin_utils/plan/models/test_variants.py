# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Profiles and presets: read, override each other in their order, and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.catalogue import Catalogue, License
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models.variants import Preset, Profile
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import host_facts, keys_of, service

Plans = Callable[..., Plan]

ENTRY: dict[str, Any] = {
    "repo": "me/mine",
    "revision": "1" * 40,
    "exclude": ["consolidated*"],
    "arguments": {"seed": 1, "max_model_len": 1, "max_num_seqs": 1, "dtype": "auto"},
    "environment": {"A": "entry", "B": "entry", "C": "entry", "D": "entry"},
    "profiles": {
        "big": {
            "gpu": "H100 80GB",
            "gpu_memory_gib": 80,
            "gpus": 4,
            "arguments": {"max_model_len": 2, "max_num_seqs": 2, "dtype": None},
            "environment": {"B": "profile", "C": "profile", "D": "profile"},
            "notes": "on\ntwo lines",
        },
        "spread": {"gpu": "H20 96GB", "gpus": 1, "nodes": 2},
    },
    "presets": {"busy": {"arguments": {"max_num_seqs": 3, "seed": None}, "environment": {"C": "preset", "D": None}}, "bare": None},
}


def planned(plan: Plans, own: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """The document of the one service of a plan without errors."""
    made = plan(service(model="mine", **keys), plan_catalogue={"mine": ENTRY if own is None else own})
    assert made.errors == []
    [document] = made.hosts["gpu1"]["services"]
    return document


def flags_of(document: dict[str, Any]) -> set[str]:
    """The flags that tell the layers apart."""
    return {word for word in document["argv"] if word.startswith(("--seed", "--max-", "--dtype"))}


LAYERS: list[tuple[dict[str, Any], set[str], dict[str, str]]] = [
    ({}, {"--seed=1", "--max-model-len=1", "--max-num-seqs=1", "--dtype=auto"}, {"A": "entry", "B": "entry", "C": "entry", "D": "entry"}),
    ({"profile": "big"}, {"--seed=1", "--max-model-len=2", "--max-num-seqs=2"}, {"A": "entry", "B": "profile", "C": "profile", "D": "profile"}),
    ({"preset": "busy"}, {"--max-model-len=1", "--max-num-seqs=3", "--dtype=auto"}, {"A": "entry", "B": "entry", "C": "preset"}),
    ({"profile": "big", "preset": "busy"}, {"--max-model-len=2", "--max-num-seqs=3"}, {"A": "entry", "B": "profile", "C": "preset"}),
    (
        {"profile": "big", "preset": "busy", "vllm_args": {"max_num_seqs": 4, "seed": 5, "max_model_len": None}, "environment": {"C": "user", "D": "user"}},
        {"--max-num-seqs=4", "--seed=5"},
        {"A": "entry", "B": "profile", "C": "user", "D": "user"},
    ),
]


@pytest.mark.parametrize(("keys", "words", "variables"), LAYERS)
def test_layers(plan: Plans, keys: dict[str, Any], words: set[str], variables: dict[str, str]) -> None:
    """The entry's, over it the profile's, over it the preset's, over it the user's; a null takes what is below away."""
    document = planned(plan, **keys)
    assert flags_of(document) == words
    assert {name: value for name, value in document["environment"].items() if len(name) == 1} == variables


def test_a_preset_may_say_nothing(plan: Plans) -> None:
    """It changes nothing then."""
    assert planned(plan, preset="bare")["argv"] == planned(plan)["argv"]


def test_files_that_serving_does_not_need(plan: Plans) -> None:
    """They are left out of the download beside those of the settings."""
    made = plan(service(model="mine"), plan_catalogue={"mine": ENTRY}, weights_exclude=["*.bin", "consolidated*"])
    assert made.hosts["gpu1"]["weights"][0]["exclude"] == ["*.bin", "consolidated*"]
    made = plan(service(model="mine"), plan_catalogue={"mine": ENTRY}, weights_exclude=[])
    assert made.hosts["gpu1"]["weights"][0]["exclude"] == ["consolidated*"]


def test_read(catalogue: Catalogue) -> None:
    """Profiles, presets and the license become types."""
    own, errors = catalogue.with_own("gpu1", {"mine": {**ENTRY, "license": {"name": "Its own", "gated": True}, "quantised_sibling": "other"}})
    assert errors == []
    entry = own.entries["mine"]
    assert entry.license == License("Its own", gated=True) and entry.quantised_sibling == "other"
    assert entry.presets["bare"] == Preset("bare")
    assert entry.profiles["spread"] == Profile("spread", gpu="H20 96GB", gpus=1, nodes=2)
    assert entry.profiles["big"].notes == "on\ntwo lines"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"license": "MIT"}, "license"),
    ({"license": {"gated": "perhaps"}}, "license.gated"),
    ({"license": {"names": "MIT"}}, "license.names"),
    ({"exclude": "*.bin"}, "exclude"),
    ({"quantised_sibling": "two words"}, "quantised_sibling"),
    ({"presets": []}, "presets"),
    ({"presets": {"a": []}}, "presets.a"),
    ({"presets": {"a": {"gpus": 4}}}, "presets.a.gpus"),
    ({"presets": {"a": {"arguments": []}}}, "presets.a.arguments"),
    ({"presets": {"a": {"environment": {"CUDA_VISIBLE_DEVICES": "0"}}}}, "presets.a.environment.CUDA_VISIBLE_DEVICES"),
    ({"profiles": {"a": {"gpus": 0}}}, "profiles.a.gpus"),
    ({"profiles": {"a": {"gpus": 1025}}}, "profiles.a.gpus"),
    ({"profiles": {"a": {"nodes": 0}}}, "profiles.a.nodes"),
    ({"profiles": {"a": {"gpu_memory_gib": 0}}}, "profiles.a.gpu_memory_gib"),
    ({"profiles": {"a": {"gpu": 5}}}, "profiles.a.gpu"),
    ({"architecture": {"num_layers": 0}}, "architecture.num_layers"),
]


@pytest.mark.parametrize(("parts", "key"), WRONG)
def test_wrong_parts(catalogue: Catalogue, parts: dict[str, Any], key: str) -> None:
    """Each names its place."""
    assert [error.key for error in catalogue.with_own("gpu1", {"mine": {"repo": "me/mine", **parts}})[1]] == [f"plan_catalogue.mine.{key}"]


UNKNOWN: list[tuple[dict[str, Any], str, str]] = [
    ({"profile": "bigg"}, "profile", "did you mean big?"),
    ({"profile": "x"}, "profile", "it has big, spread"),
    ({"preset": "busi"}, "preset", "did you mean busy?"),
    ({"preset": "big"}, "preset", "it has busy, bare"),
    ({"model": "me/other", "preset": "busy"}, "preset", "remove it: it has no presets"),
]


@pytest.mark.parametrize(("keys", "key", "fix"), UNKNOWN)
def test_unknown_variants(plan: Plans, keys: dict[str, Any], key: str, fix: str) -> None:
    """The nearest names are offered."""
    made = plan(service(**{"model": "mine", **keys}), plan_catalogue={"mine": ENTRY})
    assert keys_of(made.errors) == [("qwen", key)] and made.errors[0].fix == fix


@pytest.mark.parametrize(("keys", "key"), [({"profile": 5}, "profile"), ({"preset": ["a"]}, "preset"), ({"preset": "two words"}, "preset")])
def test_variants_that_are_no_names(plan: Plans, keys: dict[str, Any], key: str) -> None:
    """They are errors of the service."""
    assert keys_of(plan(service(model="mine", **keys), plan_catalogue={"mine": ENTRY}).errors) == [("qwen", key)]


def test_arguments_of_a_variant_are_checked(plan: Plans) -> None:
    """A flag that the chosen vLLM lacks is an error wherever it comes from."""
    own = {**ENTRY, "presets": {"old": {"arguments": {"disable_log_requests": True}}}}
    [error] = plan(service(model="mine", preset="old"), plan_catalogue={"mine": own}).errors
    assert error.key == "vllm_args.disable_log_requests (from the catalogue)"


def facts(count: int, memory_bytes: int) -> dict[str, Any]:
    """Facts of a host with so many GPUs of this size."""
    return host_facts(gpus=[{"index": index, "name": "GPU", "memory_bytes": memory_bytes} for index in range(count)])


H100 = 85520809984


@pytest.mark.parametrize(
    ("gpus", "memory_bytes", "profile", "warned"),
    [
        ([0, 1, 2, 3], H100, "big", ""),
        ([0, 1, 2], H100, "big", "for 4 x H100 80GB, and the service has 3"),
        ([0, 1, 2, 3], int(80 * 2**30 * 0.95), "big", ""),
        ([0, 1, 2, 3], int(80 * 2**30 * 0.95) - 1, "big", "with 80 GiB each, and one of the service's has 76.0 GiB"),
        ([0, 1, 2, 3], 0, "big", ""),
        # Memory that is not stated is not compared; that the other host is missing is.
        ([0], 1, "spread", "on each of 2 hosts, and the service runs on one"),
    ],
)
def test_gpus_of_a_profile(plan: Plans, gpus: list[int], memory_bytes: int, profile: str, warned: str) -> None:
    """Fewer or smaller GPUs than the profile was written for are a warning."""
    made = plan(service(model="mine", gpus=gpus, profile=profile), plan_catalogue={"mine": ENTRY}, facts=facts(4, memory_bytes))
    told = [warning for warning in made.warnings if "the profile" in warning]
    assert len(told) == bool(warned) and all(warned in warning for warning in told)


@pytest.mark.parametrize(("terms", "warned"), [({"name": "MIT"}, False), ({"name": "Its own", "gated": True, "url": "https://example.org/terms"}, True)])
def test_gated_models(plan: Plans, terms: dict[str, Any], warned: bool) -> None:
    """Whoever names one is told where to accept its license."""
    made = plan(service(model="mine"), plan_catalogue={"mine": {**ENTRY, "license": terms}})
    assert made.errors == [] and any("https://example.org/terms" in warning for warning in made.warnings) == warned
