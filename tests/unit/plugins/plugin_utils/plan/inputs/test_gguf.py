# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A model that is one GGUF file: what is downloaded, what vLLM gets, and the estimate."""

from __future__ import annotations

import fnmatch
import hashlib
import re

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.artifacts.weights import Weights
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import gguf
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer, Question
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from plan_builders import gpus, service

REPO, BASE, PIN = "org/Qwen3-8B-GGUF", "org/Qwen3-8B", "1" * 40
FILE = "Qwen3-8B-Q4_K_M.gguf"
HASH = hashlib.sha256(FILE.encode()).hexdigest()[:8]
SPLIT = "Q8_0/Qwen3-8B-Q8_0-00001-of-00002.gguf"
FILES = ((FILE, 5_000_000_000), ("Qwen3-8B-Q2_K.gguf", 3_000_000_000), (SPLIT, 4_000_000_000), (SPLIT.replace("00001-of", "00002-of"), 4_500_000_000), ("README.md", 9))
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
}  # fmt: skip


@pytest.fixture(name="plan")
def _plan(defaults: dict[str, Any], catalogue: Any, tables: Any) -> Any:
    def plan(file: str = FILE, **keys: Any) -> Plan:
        given = {"model": REPO, "name": "qwen", "gpus": [0], "revision": PIN, "gguf_file": file, "vllm_args": {"tokenizer": BASE, "max_model_len": 8192},
                 "extra_repositories": {BASE: PIN}, **keys}
        host = HostInput("gpu1", {"model_services": [service(**given)], "plan_gpus": gpus()}, None)
        known = {REPO: Answer(FILES, problem="no config.json"), BASE: Answer((("config.json", 9),), CONFIG)}
        answers = {question: known[question.repo] for question in questions(host, defaults, catalogue) if isinstance(question, Question)}
        return resolve([host], defaults, catalogue, tables, answers)

    return plan


def only(found: Plan) -> dict[str, Any]:
    assert found.errors == [], found.errors
    return dict(found.hosts["gpu1"]["services"][0])


def test_one_file_is_downloaded_and_served(plan: Any) -> None:
    found = plan()
    one = only(found)
    folder = f"/var/lib/inferops/models/org--Qwen3-8B-GGUF--Qwen3-8B-Q4_K_M-{HASH}/{PIN}"
    assert one["argv"][1:3] == ["serve", f"{folder}/{FILE}"] and one["weights_path"] == folder
    assert "--load-format=gguf" in one["argv"] and f"--tokenizer=/var/lib/inferops/models/org--Qwen3-8B--without-weights/{PIN}" in one["argv"]
    [weights] = [weights for weights in found.hosts["gpu1"]["weights"] if weights["repo"] == REPO]
    assert (weights["include"], weights["bytes"], weights["name"]) == ([FILE], 5_000_000_000, f"org--qwen3-8b-gguf--qwen3-8b-q4_k_m-{HASH}-11111111")
    [release] = found.hosts["gpu1"]["releases"]
    assert "vllm-gguf-plugin==0.0.5" in release["requirements"]


def test_the_estimate_is_from_the_file_and_the_other_configuration(plan: Any) -> None:
    memory = [only(plan(file))["memory"] for file in (FILE, SPLIT)]
    # 36 layers, 8 heads of 128, keys and values of 2 bytes.
    assert all(memory) and memory[0]["kv_bytes_per_token"] == 36 * 8 * 128 * 2 * 2
    assert memory[1]["weights"] - memory[0]["weights"] == 3_500_000_000


def test_all_parts_of_a_split_file(plan: Any) -> None:
    found = plan(SPLIT)
    assert only(found)["argv"][2].endswith(f"--Qwen3-8B-Q8_0-{hashlib.sha256(SPLIT.encode()).hexdigest()[:8]}/{PIN}/{SPLIT}")
    [weights] = [weights for weights in found.hosts["gpu1"]["weights"] if weights["repo"] == REPO]
    assert weights["bytes"] == 8_500_000_000 and [path for path, _size in FILES if fnmatch.fnmatch(path, weights["include"][0])] == [FILES[2][0], FILES[3][0]]


def test_vllm_reads_it_itself_before_0_24(plan: Any) -> None:
    found = plan(vllm_version="0.23.0")
    assert "--load-format=gguf" in only(found)["argv"]
    assert not any("gguf" in requirement for requirement in found.hosts["gpu1"]["releases"][0]["requirements"])


def test_two_files_of_a_repository_have_a_directory_each(plan: Any) -> None:
    paths = {only(plan(file))["weights_path"] for file in (FILE, "Qwen3-8B-Q2_K.gguf", SPLIT)}
    assert len(paths) == 3


def test_files_of_the_host(plan: Any) -> None:
    """Copied by hand, or with weights_path: nothing has the name of a part."""
    one = only(plan(weights_path="/srv/qwen"))
    assert one["argv"][2] == f"/srv/qwen/{FILE}"


@pytest.mark.parametrize(("first", "second"), [("a/m.gguf", "b/m.gguf"), ("M.gguf", "m.gguf"), ("a" * 90 + "1.gguf", "a" * 90 + "2.gguf")])
def test_files_with_the_same_name_have_a_directory_each(first: str, second: str) -> None:
    """In two folders, where unit names do not know upper case, and where the names are cut."""
    one, other = (Weights(REPO, PIN, None, "/models", (), (), file=file) for file in (first, second))
    assert one.path != other.path and one.name != other.name


REFUSED = [
    ("../a.gguf", "begins with ."),
    ("/a.gguf", "a path on a host"),
    ("a.safetensors", "ends with .gguf"),
    ("a b.gguf", "a space"),
    ("*.gguf", "the character *"),
    ("a[1].gguf", "the character ["),
    (".gguf", "begins with ."),
    ("a/.b.gguf", "begins with ."),
    ("-a.gguf", "begins with -"),
    ("a//b.gguf", "no name"),
    ("a" * 260 + ".gguf", "265 characters"),
]


@pytest.mark.parametrize(("file", "words"), REFUSED)
def test_what_is_no_file_of_a_repository(plan: Any, file: str, words: str) -> None:
    """The error has the cause."""
    [error] = plan(file).errors
    assert error.key == "gguf_file" and words in error.why, error


@pytest.mark.parametrize("file", ["a--b.gguf", "a" * 90 + ".gguf", "a+b.gguf", "A.b_c/x.gguf"])
def test_files_of_a_repository(file: str) -> None:
    assert gguf.read(file) == file
    assert re.fullmatch("[A-Za-z0-9._-]{1,40}", gguf.short_name(file))


def test_a_further_part(plan: Any) -> None:
    [error] = plan("Q8_0/Qwen3-8B-Q8_0-00002-of-00002.gguf").errors
    assert error.fix == f"name the first part: {SPLIT}"


def test_a_file_that_is_not_there(plan: Any) -> None:
    [error] = plan("Qwen3-8B-Q4_K_S.gguf").errors
    assert error.key == "gguf_file" and FILE in error.why


def test_names() -> None:
    assert (gguf.short_name(SPLIT), gguf.short_name(FILE)) == ("Qwen3-8B-Q8_0", "Qwen3-8B-Q4_K_M")
    assert gguf.is_missing("a.gguf", ["model.safetensors"]) == "the repository has no GGUF file"
