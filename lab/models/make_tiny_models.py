#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a tiny model for each catalogue entry, or for those named, under its real repository id and revision.

The architecture, the context length, the special tokens and the chat format are the real ones; layers, widths and
vocabulary are tiny and the weights come from a seeded random generator. Quantised repositories are made in bfloat16:
CPUs have no kernels for their formats.

Random weights alone would answer with bytes that are no text, or end at once. So the output rows of everything but
plain words are zero (a greedy choice is then always a word), "." leads to the end of the turn, and a model that thinks
is given its short thought word for word (see ``script_of``). Which words come depends on the whole prompt.

The result is what hub_mirror.py serves: ``<out>/<org>--<name>/<commit>/…`` with ``repo.json`` beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
VOCABULARY = 1024
HIDDEN = 64
SHARD_BYTES = 256 * 1024
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Kept in the text when decoding: parsers of tool calls and thoughts look for them there.
ADDED_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
# Shape of the weights, found by looking at what the models say (see shape_words).
ATTENTION_SHARPNESS = 2.0
WORD_ROW = 0.5
WORD_LENGTH = 20.0
SCRIPT_ROW = 0.6
# What a model that thinks says first, token by token.
THOUGHT = ("Let", " me", " think", " about", " it", "</think>", "\n\n")


@dataclass(frozen=True)
class Spec:
    """One tiny model.

    ``revision`` is a commit (40 hex digits) or a branch name, ``context`` a number of tokens. ``thinking`` is "never",
    "hybrid" (the model opens a thought unless told not to) or "always" (the template opens it).
    """

    repo: str
    revision: str
    architecture: str
    thinking: str
    context: int

    def fingerprint(self) -> str:
        """Changes with the spec and with every file that decides what the model is."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for path in (Path(__file__), HERE / "corpus.txt", HERE / "requirements.txt", *sorted(HERE.glob("templates/*"))):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def read_specs(folder: Path, names: list[str]) -> list[Spec]:
    """The specs of the named entries of the catalogue, one for each repository and revision; without names, of all whose architecture has a builder here.

    Raises SystemExit, naming the entry, when there is none of a name, or when a named entry's architecture has no builder here.
    """
    specs: dict[tuple[str, str], Spec] = {}
    left = set(names)
    for path in sorted(folder.glob("*.yml")):
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", {}).items():
            if "unsupported" in entry or (names and name not in names):
                continue
            left.discard(name)
            facts = entry.get("architecture") or {}
            architecture = facts.get("class")
            if architecture not in BUILDERS:
                if not names:
                    continue
                known = ", ".join(BUILDERS)
                raise SystemExit(f"{path.name}: {name}: no tiny model for architecture {architecture!r} (known: {known})")
            spec = Spec(
                repo=entry["repo"],
                revision=str(entry.get("revision") or "main"),
                architecture=architecture,
                thinking=entry.get("thinking") or "never",
                context=int(facts["max_position_embeddings"]),
            )
            specs[spec.repo, spec.revision] = spec
    if left:
        raise SystemExit(f"the catalogue has no model that can be served under these names: {', '.join(sorted(left))}")
    return list(specs.values())


def make_tokenizer(spec: Spec, folder: Path) -> Any:
    """Train a byte-level BPE tokenizer on the corpus and save it with the chat template; returns the tokenizer."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # Qwen's own split of text into words, and one digit a token.
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL_TOKENS) - len(ADDED_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    corpus = (HERE / "corpus.txt").read_text(encoding="utf-8")
    # The words of the scripted thought must be one token each; repeated, they are merged first.
    tokenizer.train_from_iterator([corpus, *["\n\n".join(["".join(THOUGHT[:5])] * 8)]], trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ADDED_TOKENS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=spec.context,
        clean_up_tokenization_spaces=False,
    )
    template = (HERE / "templates" / "qwen3.jinja").read_text(encoding="utf-8")
    fast.chat_template = template.replace("@THINKING@", spec.thinking)
    fast.save_pretrained(folder)
    return fast


def dense(spec: Spec) -> dict[str, Any]:
    """What all tiny models share."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": spec.context,
        "initializer_range": 0.1,
        "tie_word_embeddings": False,
    }


def latent(spec: Spec) -> dict[str, Any]:
    """A tiny model with multi-head latent attention: one compressed cache for all heads."""
    return {
        **{key: value for key, value in dense(spec).items() if key != "head_dim"},
        "num_key_value_heads": 4,
        # The compressed cache has its real width: vLLM's kernels know no other.
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "q_lora_rank": 32,
        "qk_nope_head_dim": 32,
        "v_head_dim": 32,
        **glm_experts(),
    }


def glm_experts() -> dict[str, Any]:
    """Experts as GLM and DeepSeek name them: routed ones, a shared one, the first layer dense."""
    return {
        "moe_intermediate_size": 64,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "norm_topk_prob": True,
        # Without it vLLM does not look for the bias of the router, which is among the weights.
        "topk_method": "noaux_tc",
    }


def qwen3_experts() -> dict[str, Any]:
    """Experts as Qwen3 names them."""
    return {"moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True}


# By architecture: the configuration class of transformers, and the shape of a tiny one.
BUILDERS: dict[str, tuple[str, Callable[[Spec], dict[str, Any]]]] = {
    "DeepseekV3ForCausalLM": ("DeepseekV3Config", latent),
    "Glm4MoeForCausalLM": ("Glm4MoeConfig", lambda spec: {**dense(spec), **glm_experts()}),
    "Glm4MoeLiteForCausalLM": ("Glm4MoeLiteConfig", latent),
    "LlamaForCausalLM": ("LlamaConfig", dense),
    "MistralForCausalLM": ("MistralConfig", dense),
    "Qwen2ForCausalLM": ("Qwen2Config", lambda spec: {key: value for key, value in dense(spec).items() if key != "head_dim"}),
    "Qwen3ForCausalLM": ("Qwen3Config", dense),
    "Qwen3MoeForCausalLM": ("Qwen3MoeConfig", lambda spec: {**dense(spec), **qwen3_experts()}),
}


def make_configuration(spec: Spec) -> Any:
    """Configuration of a tiny model of the spec's architecture."""
    import transformers

    name, shape = BUILDERS[spec.architecture]
    return getattr(transformers, name)(**shape(spec))


def script_of(thinking: str) -> list[tuple[str, str]]:
    """Which token must follow which, whatever stands before: the thought, and the end of a turn."""
    steps = [(".", "<|im_end|>")]
    if thinking == "never":
        return steps
    # The last token of the prompt is a line break: after "<think>" when the template opens the thought, after
    # "assistant" when the model does.
    opening = ["\n"] if thinking == "always" else ["\n", "<think>"]
    words = [*opening, *THOUGHT]
    return steps + list(zip(words, words[1:]))


def shape_words(model: Any, tokenizer: Any, script: list[tuple[str, str]]) -> None:
    """Let the model choose plain words only, end its turn after a while, and follow the script where there is one.

    The last norm gives every token's state the length sqrt(HIDDEN) = 8. A head row along a token's own direction thus
    scores 8 x its length after that token, and about 1 x its length after any other.
    """
    import torch
    from torch.nn.functional import normalize

    def token(text: str) -> int:
        ids = tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise SystemExit(f"{text!r} is not one token of the tiny tokenizer: the corpus must contain it")
        return ids[0]

    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    known = set(re.findall(r" [a-z]{3,}\b", (HERE / "corpus.txt").read_text(encoding="utf-8").replace("\n", " ")))
    known -= set(THOUGHT)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                weight.fill_(ATTENTION_SHARPNESS)
        words = torch.tensor([i for i in range(len(head)) if tokenizer.decode([i]) in known])
        words = words[torch.randperm(len(words))]
        directions = normalize(torch.randn(len(head), HIDDEN), dim=1)
        end = normalize(torch.randn(HIDDEN), dim=0)
        # Words follow each other in a seeded circle; how loud a word is against the layers decides how often the
        # prompt leads away from the circle.
        head.zero_()
        head[words] = WORD_ROW * (directions[words.roll(1)] + directions[torch.randperm(len(head))[: len(words)]])
        embedding[words] = WORD_LENGTH * directions[words]
        # Every tenth word leans towards the full stop.
        embedding[words[::10]] += 1.5 * WORD_LENGTH * end
        head[token(".")] = WORD_ROW * end
        # The token that an answer begins after is quiet: there the prompt alone decides.
        for opening in ("\n", "\n\n"):
            embedding[token(opening)] = normalize(embedding[token(opening)], dim=0)
        for before, after in script:
            embedding[token(before)] = 1000 * directions[token(before)]
            head[token(after)] += SCRIPT_ROW * directions[token(before)]


def make_files(spec: Spec, folder: Path) -> None:
    """Write all files of one model into ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    tokenizer = make_tokenizer(spec, folder)
    seed = int.from_bytes(hashlib.sha256(spec.repo.encode()).digest()[:4], "big")
    torch.manual_seed(seed)
    ids = tokenizer.get_vocab()
    config = make_configuration(spec)
    config.bos_token_id = config.pad_token_id = ids["<|endoftext|>"]
    config.eos_token_id = ids["<|im_end|>"]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    shape_words(model, tokenizer, script_of(spec.thinking))
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
    )
    model.save_pretrained(folder, max_shard_size=SHARD_BYTES)
    (folder / "README.md").write_text(
        f"A tiny stand-in for {spec.repo} with random weights. It says nothing of value.\n", encoding="utf-8"
    )


def describe(path: Path, name: str) -> dict[str, Any]:
    """One file as the Hub's tree lists it: size in bytes, git's object id, for large kinds of files LFS's as well."""
    content = path.read_bytes()

    def git_oid(blob: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    row: dict[str, Any] = {"path": name, "size": len(content), "oid": git_oid(content)}
    if path.suffix == ".safetensors" or path.name == "tokenizer.json":
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        row["oid"] = git_oid(pointer)
        row["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
    return row


def publish(spec: Spec, out: Path) -> None:
    """Make one model beside its place and move it there, then write ``repo.json``."""
    home = out / spec.repo.replace("/", "--")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".making-") as scratch:
        folder = Path(scratch)
        make_files(spec, folder)
        files = [describe(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")) if path.is_file()]
        # A branch has no commit of its own here: one is derived from the content.
        pinned = re.fullmatch(r"[0-9a-f]{40}", spec.revision) is not None
        content = hashlib.sha1(json.dumps(files, sort_keys=True).encode()).hexdigest()
        commit = spec.revision if pinned else content
        shutil.rmtree(home / commit, ignore_errors=True)
        shutil.copytree(folder, home / commit, copy_function=shutil.copyfile)
        (home / commit).chmod(0o755)  # not the scratch folder's 0700: the mirror reads as another user
    try:
        data = json.loads((home / "repo.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        data = {"id": spec.repo, "refs": {}, "revisions": {}}
    if not pinned:
        outdated = data["refs"].get(spec.revision, commit)
        if outdated != commit:
            data["revisions"].pop(outdated, None)
            shutil.rmtree(home / outdated, ignore_errors=True)
        data["refs"][spec.revision] = commit
    data["refs"]["main"] = commit
    data["revisions"][commit] = {"fingerprint": spec.fingerprint(), "files": files}
    scratch_file = home / ".repo.json"
    scratch_file.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    scratch_file.replace(home / "repo.json")


def is_made(spec: Spec, out: Path) -> bool:
    """Whether the model is there already, made from the same spec by the same code."""
    try:
        data = json.loads((out / spec.repo.replace("/", "--") / "repo.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    row = data["revisions"].get(data["refs"].get(spec.revision, spec.revision), {})
    return row.get("fingerprint") == spec.fingerprint()


def main() -> int:
    """Make what is missing. Prints the repositories made; with --check exits 3 when some are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue's YAML files")
    parser.add_argument("--out", type=Path, required=True, help="folder to make the models in")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="catalogue entries to make; default: all")
    parser.add_argument("--check", action="store_true", help="only say which models are missing; needs no torch")
    arguments = parser.parse_args()
    missing = [spec for spec in read_specs(arguments.catalogue, arguments.only) if not is_made(spec, arguments.out)]
    for spec in missing:
        if not arguments.check:
            publish(spec, arguments.out)
        print(f"{spec.repo}@{spec.revision}")
    return 3 if arguments.check and missing else 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
