# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Repositories beside the model's own: brought and pinned like it, and named by their folders."""

from __future__ import annotations

import json

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer, Question
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from plan_builders import gpus, host_facts, service

MODELS = "/var/lib/inferops/models"
PIN = "1" * 40
LORA, DRAFT = "example/qwen3-8b-lora", "example/qwen3-8b-eagle3"
SPECULATIVE = {"method": "eagle3", "model": DRAFT, "num_speculative_tokens": 3}


@pytest.fixture(name="plan")
def _plan(defaults: dict[str, Any], catalogue: Any, tables: Any) -> Any:
    def plan(*services: dict[str, Any], answers: Any = None, facts: Any = None, hosts: int = 1, **variables: Any) -> Plan:
        made = [HostInput(f"gpu{number}", {"model_services": list(services), "plan_gpus": gpus(), **variables}, facts) for number in range(1, hosts + 1)]
        return resolve(made, defaults, catalogue, tables, answers or {})

    return plan


def one(**keys: Any) -> dict[str, Any]:
    """A service of a small model."""
    return service(**{"model": "qwen3-8b", "gpus": [0], **keys})


def argv(found: Plan) -> list[str]:
    """The arguments of the first service."""
    assert found.errors == [], found.errors
    return [str(word) for word in found.hosts["gpu1"]["services"][0]["argv"]]


def test_case_of_a_draft_an_adapter_and_a_tokenizer(plan: Any) -> None:
    """Each is downloaded, and its folder stands on the command line; the model's own tokenizer is where the model is."""
    arguments = {"enable_lora": True, "lora_modules": [f"ours={LORA}"], "tokenizer": "Qwen/Qwen3-8B", "speculative_config": SPECULATIVE}
    found = plan(one(vllm_args=arguments, extra_repositories={LORA: PIN}))
    words, host = argv(found), found.hosts["gpu1"]
    own = host["services"][0]["weights_path"]
    assert f"--tokenizer={own}" in words
    assert f"ours={MODELS}/example--qwen3-8b-lora/{PIN}" in words
    draft = json.loads(next(word for word in words if word.startswith("--speculative-config=")).partition("=")[2])
    assert draft == {**SPECULATIVE, "model": f"{MODELS}/example--qwen3-8b-eagle3/main"}
    assert not any(word.startswith(("example/", "ours=example/")) or word == "Qwen/Qwen3-8B" for word in words)
    assert {(one["repo"], one["revision"], one["extra"]) for one in host["weights"]} == {
        ("Qwen/Qwen3-8B", host["services"][0]["revision"], False), (LORA, PIN, True), (DRAFT, "main", True),
    }
    assert host["services"][0]["all_weights"] == [one["name"] for one in host["weights"]]
    assert {(one["argument"], one["repo"]) for one in host["services"][0]["extra_repositories"]} == {
        ("vllm_args.tokenizer", "Qwen/Qwen3-8B"), ("vllm_args.lora_modules.ours", LORA), ("vllm_args.speculative_config.model", DRAFT),
    }
    assert [warning for warning in found.warnings if DRAFT in warning and "extra_repositories" in warning] and not any(LORA in one for one in found.warnings)
    assert host["services"][0]["environment"]["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"tokenizer": "org/t"}, "org--t--without-weights/main"),
        ({"tokenizer": "org/t", "tokenizer_revision": PIN}, f"org--t--without-weights/{PIN}"),
        ({"hf_config_path": "org/t"}, "org--t--without-weights/main"),
        ({"generation_config": "org/t"}, "org--t--without-weights/main"),
        ({"speculative_config": {"model": "org/t", "revision": PIN, "num_speculative_tokens": 1}}, f"org--t/{PIN}"),
        ({"speculative_config": json.dumps({"model": "org/t", "num_speculative_tokens": 1})}, "org--t/main"),
        ({"spec_model": "org/t", "spec_tokens": 1}, "org--t/main"),
        ({"enable_lora": True, "lora_modules": [{"name": "a", "path": "org/t", "base_model_name": "b"}]}, "org--t/main"),
        ({"enable_lora": True, "lora_modules": ['{"name": "a", "path": "org/t"}']}, "org--t/main"),
        ({"enable_lora": True, "default_mm_loras": {"audio": "org/t"}}, "org--t/main"),
    ],
)
def test_arguments_that_name_repositories(plan: Any, arguments: dict[str, Any], path: str) -> None:
    """Of those that read no weights, none are fetched."""
    found = plan(one(vllm_args=arguments))
    text = "\n".join(argv(found))
    assert f"{MODELS}/{path}" in text and '"org/t"' not in text and "=org/t" not in text
    extra = next(one for one in found.hosts["gpu1"]["weights"] if one["repo"] == "org/t")
    assert ("*.safetensors" in extra["exclude"]) is ("without-weights" in path)
    # A name of its own for a part of a repository: the whole of it may be wanted beside, and the unit's name is part of paths.
    assert extra["path"] == f"{MODELS}/{path}" and extra["unit"] == f"inferops-weights-{extra['name']}.service"


@pytest.mark.parametrize(
    "arguments",
    [
        {"tokenizer": "/srv/tokenizer"}, {"generation_config": "vllm"}, {"generation_config": "auto"}, {"enable_lora": True, "lora_modules": ["a=/srv/lora"]},
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}},
        {"speculative_config": {"method": "ngram", "model": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}},
    ],
)
def test_what_is_no_repository_stays(plan: Any, arguments: dict[str, Any]) -> None:
    """Folders of the host, and words of vLLM's."""
    found = plan(one(vllm_args=arguments))
    argv(found)
    assert len(found.hosts["gpu1"]["weights"]) == 1 and found.hosts["gpu1"]["services"][0]["extra_repositories"] == []


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"vllm_args": {"tokenizer": "gpt2"}}, "vllm_args.tokenizer"),
        ({"vllm_args": {"tokenizer": "./tokenizer"}}, "vllm_args.tokenizer"),
        ({"vllm_args": {"enable_lora": True, "lora_modules": ["a=loras/of/ours"]}}, "vllm_args.lora_modules.a"),
        ({"extra_repositories": {"org/t": PIN}}, "extra_repositories.org/t"),
        ({"vllm_args": {"tokenizer": "org/tt"}, "extra_repositories": {"org/t": PIN}}, "extra_repositories.org/t"),
        ({"vllm_args": {"tokenizer": "org/t"}, "extra_repositories": {"org/t": "a b"}}, "extra_repositories"),
        ({"vllm_args": {"tokenizer": "org/t"}, "extra_repositories": ["org/t"]}, "extra_repositories"),
    ],
)
def test_refused(plan: Any, keys: dict[str, Any], key: str) -> None:
    """By argument or pin; what to write instead is named."""
    errors = plan(one(**keys)).errors
    assert [error.key for error in errors] == [key] and errors[0].fix


def test_missing_everywhere(plan: Any, defaults: dict[str, Any], catalogue: Any) -> None:
    """The plan asks, as about an unknown model, says so before anything changes, and counts their bytes."""
    keys = {"vllm_args": {"speculative_config": SPECULATIVE}, "extra_repositories": {DRAFT: PIN}}
    host = HostInput("gpu1", {"model_services": [one(**keys)]})
    [question] = questions(host, defaults, catalogue)
    assert (question.repo, question.revision) == (DRAFT, PIN)
    [error] = plan(one(**keys), answers={question: Answer(missing="404")}).errors
    assert error.key == "vllm_args.speculative_config.model" and DRAFT in error.value and "absolute path" in error.fix
    there = host_facts(weights=[f"{MODELS}/example--qwen3-8b-eagle3/{PIN}"], gpus=gpus())
    assert plan(one(**keys), answers={question: Answer(missing="404")}, facts=there).errors == []
    big = {question: Answer(files=(("model.safetensors", 10**12), ("config.json", 5)))}
    full = plan(one(**keys), answers=big, facts=host_facts(gpus=gpus()), plan_accept={"memory": "of no matter here"})
    assert full.errors and all("weights_dir" in error.key for error in full.errors)


def remote(repo: str, kind: str = "exotic", name: str = "AutoConfig") -> Answer:
    """A repository whose configuration names code."""
    return Answer((("config.json", 5), ("model.safetensors", 10**9)), {"model_type": kind, "auto_map": {name: f"{repo}configuration_x.XConfig"}})


@pytest.mark.parametrize(
    ("answer", "arguments", "refused"),
    [
        (remote("other/code--"), {"trust_remote_code": True}, True),
        (remote("org/model--"), {"trust_remote_code": True}, True),
        (remote("other/code--"), {}, False),
        (remote("other/code--"), {"trust_remote_code": False}, False),
        (remote(""), {"trust_remote_code": True}, False),
        # vLLM has a configuration of its own for these, and loads models by a class of its own where it has one.
        (remote("other/code--", kind="kimi_k2"), {"trust_remote_code": True}, False),
        (remote("other/code--", name="AutoModelForCausalLM"), {"trust_remote_code": True}, False),
        (Answer(None, {"auto_map": ["a--b"]}), {"trust_remote_code": True}, False),
        (Answer(None, {"auto_map": {"AutoConfig": 5}}), {"trust_remote_code": True}, False),
    ],
)
def test_code_of_another_repository(plan: Any, defaults: dict[str, Any], catalogue: Any, answer: Answer, arguments: dict[str, Any], refused: bool) -> None:
    """A service cannot fetch it; a folder of one's own is not asked about."""
    keys = {"model": "org/model", "revision": PIN, "vllm_args": arguments}
    [question] = questions(HostInput("gpu1", {"model_services": [one(**keys)]}), defaults, catalogue)
    found = plan(one(**keys), answers={question: answer}).errors
    assert [(error.key, error.check) for error in found] == ([("model", "remote-code")] if refused else [])
    assert plan(one(**keys, weights_path="/srv/model"), answers={question: answer}).errors == []


def test_code_of_another_repository_for_a_draft(plan: Any, defaults: dict[str, Any], catalogue: Any) -> None:
    """The model's trust_remote_code is the draft's."""
    keys = {"vllm_args": {"speculative_config": SPECULATIVE, "trust_remote_code": True}, "extra_repositories": {DRAFT: PIN}}
    [question] = questions(HostInput("gpu1", {"model_services": [one(**keys)]}), defaults, catalogue)
    [error] = plan(one(**keys), answers={question: remote("other/code--")}).errors
    assert error.key == "vllm_args.speculative_config.model" and "other/code" in error.why


def test_nobody_is_asked_about_folders(defaults: dict[str, Any], catalogue: Any) -> None:
    """Nor of services that go."""
    services = [one(vllm_args={"tokenizer": "/srv/t"}), one(state="absent", vllm_args={"tokenizer": "org/t"}), "text", {"vllm_args": {"lora_modules": 5}}]
    assert questions(HostInput("gpu1", {"model_services": services}), defaults, catalogue) == []
    assert Question("a/b", "main", ()) != Question("a/b", PIN, ())


def test_shared_like_the_model(plan: Any) -> None:
    """Among peers, one host downloads an adapter too."""
    found = plan(
        one(vllm_args={"enable_lora": True, "lora_modules": [f"ours={LORA}"]}), hosts=2, weights_share="peer",
        facts=host_facts(gpus=gpus(), interfaces={"eth0": ["10.0.0.1"]}, default_ipv4="10.0.0.1"),
    )
    assert found.errors == [], found.errors
    roles = [[one["share"]["role"] for one in found.hosts[name]["weights"]] for name in ("gpu1", "gpu2")]
    assert roles == [["source", "source"], ["follower", "follower"]]


@pytest.mark.parametrize(
    ("patterns", "variables", "verified"),
    [
        (None, {}, True),
        (None, {"weights_include": ["*.safetensors", "spk_dict.pt"]}, False),
        ({"include": [], "exclude": []}, {}, True),
        ({"include": [], "exclude": []}, {"weights_include": ["spk_dict.pt"]}, False),
        ({"include": [], "exclude": []}, {"weights_exclude": ["*.md"]}, False),
        ({"include": ["a", "b"], "exclude": []}, {"weights_include": ["b", "a"]}, True),
        ("no dictionary", {}, True),
    ],
)
def test_other_files_are_chosen_than_were(plan: Any, patterns: Any, variables: dict[str, Any], verified: bool) -> None:
    """Complete is what has the files that are wanted now; a manifest of former versions does not say."""
    repo, revision = "org/model", PIN
    path = f"{MODELS}/org--model/{revision}"
    facts = host_facts(gpus=gpus(), weights=[path], weights_patterns={} if patterns is None else {path: patterns})
    found = plan(one(model=repo, revision=revision), facts=facts, plan_lookup=False, **variables)
    assert found.errors == [], found.errors
    assert found.hosts["gpu1"]["weights"][0]["verified"] is verified


def test_brought_by_hand(plan: Any) -> None:
    """To the same place as a whole repository."""
    found = plan(one(vllm_args={"tokenizer": "org/t"}), weights_offline=True)
    assert f"--tokenizer={MODELS}/org--t/main" in argv(found)
    assert [(one["local"], one["extra"]) for one in found.hosts["gpu1"]["weights"]] == [(True, False), (True, True)]


def test_a_model_of_another_service_is_downloaded_once(plan: Any) -> None:
    """As a model, though it is a draft model here."""
    found = plan(
        one(vllm_args={"speculative_config": {**SPECULATIVE, "method": "draft_model", "model": "Qwen/Qwen3-0.6B"}},
            extra_repositories={"Qwen/Qwen3-0.6B": "c1899de289a04d12100db370d81485cdf75e47ca"}),
        one(name="small", model="qwen3-0.6b", gpus=[1], port=8002),
    )
    weights = found.hosts["gpu1"]["weights"]
    assert found.errors == [] and len({one["path"] for one in weights}) == len(weights)
    assert [one["extra"] for one in weights if one["repo"] == "Qwen/Qwen3-0.6B"] in ([False], [True, False], [False, True])
