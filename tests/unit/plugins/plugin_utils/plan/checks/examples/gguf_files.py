# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that are one GGUF file."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from example_builders import example, one
from plan_builders import service

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORIES = {"org/gguf": Answer((("a-Q4_K_M.gguf", 9),)), "org/base": Answer((("config.json", 9),), {"architectures": ["LlamaForCausalLM"]})}


def quantised(file: str = "a-Q4_K_M.gguf", tokenizer: str | None = "org/base", pinned: bool = True, **vllm_args: Any) -> dict[str, Any]:
    """A service of a GGUF file."""
    named = {} if tokenizer is None else {"tokenizer": tokenizer}
    pins = {} if tokenizer is None or not pinned else {"extra_repositories": {tokenizer: COMMIT}}
    return service(model="org/gguf", revision=COMMIT, gguf_file=file, vllm_args={"max_model_len": 4096, **named, **vllm_args}, **pins)


EXAMPLES = [
    example("gguf-files-exist", one(quantised("a-Q4.gguf")), "name a gguf_file that it has", one(quantised()), answers=REPOSITORIES, costs="memory"),
    example(
        "gguf-files-are-in-the-models-repository",
        one({**quantised(), "model": "qwen3-8b"}),
        "name the repository with the GGUF file",
        one(quantised()),
        answers=REPOSITORIES,
        costs="memory",
    ),
    # The repository of an entry is the entry.
    example(
        "gguf-files-are-in-the-models-repository",
        one({**quantised(), "model": "Qwen/Qwen3-8B"}),
        "model: <organisation>/<name>",
        one(quantised()),
        answers=REPOSITORIES,
        costs="memory",
    ),
    example(
        "gguf-files-have-a-tokenizer",
        one(quantised(tokenizer=None)),
        "vllm_args: {tokenizer: <organisation>/<name>}",
        one(quantised(pinned=False)),
        answers=REPOSITORIES,
        costs="is not a commit and may change",
    ),
    example(
        "gguf-files-can-be-read",
        one(quantised(load_format="safetensors")),
        "remove it: gguf_file sets it",
        one(quantised()),
        answers=REPOSITORIES,
        costs="memory",
    ),
]
