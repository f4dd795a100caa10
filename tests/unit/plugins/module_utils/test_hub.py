# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking a Hugging Face endpoint: pages, refusals, files that are not wanted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import _hub, _hub_selection
from ansible_collections.inferops.gpu.plugins.modules import weights_probe

SHA1, SHA256 = "1" * 40, "2" * 64
BIG = {"type": "file", "path": "model.safetensors", "size": 135, "oid": SHA1, "lfs": {"oid": SHA256, "size": 4000, "pointerSize": 135}}
SMALL = {"type": "file", "path": "config.json", "size": 20, "oid": SHA1}


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[Any, str | None]]) -> _hub.Hub:
    """A hub whose requests are answered from a table of paths."""
    hub = _hub.Hub("http://mirror/")
    monkeypatch.setattr(hub, "open_json", lambda url: answers[url.removeprefix("http://mirror")])
    return hub


def test_all_pages_are_read_and_what_is_not_wanted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first = "/api/models/a/b/tree/c1?recursive=true&expand=false"
    second = "/api/models/a/b/tree/c1?recursive=true&cursor=2"
    unwanted = {"type": "file", "path": "pytorch_model.bin", "size": 9, "oid": "x"}
    hub = answering(monkeypatch, {first: ([BIG, {"type": "directory", "path": "d"}], f"http://mirror{second}"), second: ([SMALL, unwanted], None)})
    assert hub.read_files("a/b", "c1", ["*.bin"]) == [
        {"path": "config.json", "size": 20, "git_sha1": SHA1},
        {"path": "model.safetensors", "size": 4000, "sha256": SHA256},
    ]


def test_a_branch_is_resolved_to_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = answering(monkeypatch, {"/api/models/a/b/revision/refs%2Fpr%2F1": ({"sha": SHA1}, None)})
    assert hub.read_commit("a/b", "refs/pr/1") == SHA1


@pytest.mark.parametrize("answer", [[], {"id": "x"}, "html"])
def test_an_answer_without_a_commit_is_no_hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    hub = answering(monkeypatch, {"/api/models/a/b/revision/main": (answer, None)})
    with pytest.raises(_hub.HubError, match="is this a Hugging Face endpoint"):
        hub.read_commit("a/b", "main")


def test_a_repository_with_nothing_wanted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = answering(monkeypatch, {"/api/models/a/b/tree/c1?recursive=true&expand=false": ([SMALL], None)})
    with pytest.raises(_hub.HubError, match="leave none of the repository's"):
        hub.read_files("a/b", "c1", ["*"])


@pytest.mark.parametrize(
    ("code", "token", "says"),
    [(401, False, "set weights_token"), (403, True, "accept its license"), (404, False, "no such repository or revision"), (503, False, "503 said")],
)
def test_refusals_name_the_way_out(code: int, token: bool, says: str) -> None:
    assert says in _hub.explain(code, "said", token)


def test_next_page_of_a_link_header() -> None:
    assert _hub.next_page('<http://m/1>; rel="prev", <http://m/2>; rel="next"') == "http://m/2"
    assert _hub.next_page("") is None


def test_missing_bytes_counts_what_is_not_there(tmp_path: Any) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "partial").mkdir()
    (tmp_path / "final" / "a").write_bytes(b"12345")
    (tmp_path / "partial" / "b").write_bytes(b"123")
    files = [{"path": name, "size": 5} for name in ("a", "b", "c")]
    assert weights_probe.missing_bytes(files, str(tmp_path / "final"), str(tmp_path / "partial")) == 7
    (tmp_path / "partial" / "b").write_bytes(b"too much")
    assert weights_probe.missing_bytes(files, str(tmp_path / "final"), str(tmp_path / "partial")) == 10


def test_every_endpoint_is_asked_and_each_answer_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(hub: _hub.Hub, url: str) -> Any:
        raise _hub.HubError(f"404 at {hub.endpoint}")

    monkeypatch.setattr(_hub.Hub, "open_json", refuse)
    with pytest.raises(_hub.HubError, match=r"http://one answered 404 .*; http://two/ answered 404"):
        weights_probe.ask(ASKED)


ASKED: dict[str, Any] = {
    "endpoints": ["http://one", "http://two/"], "token": "", "token_endpoints": [], "ca_certificates": [],
    "repo": "a/b", "revision": "main", "exclude": [], "include": [],
}


def test_the_token_goes_only_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who is refused for want of it hears why it was not sent."""

    def refuse(hub: _hub.Hub, url: str) -> Any:
        raise _hub.HubError(f"401, token {hub.token!r}", gated=True)

    monkeypatch.setattr(_hub.Hub, "open_json", refuse)
    with pytest.raises(_hub.HubError) as caught:
        weights_probe.ask({**ASKED, "token": "hf_x", "token_endpoints": ["http://two"]})
    one, two = str(caught.value).split("; ")
    assert one == "http://one answered 401, token '' (the token was not sent there: weights_token_endpoints)"
    assert two == "http://two/ answered 401, token '(hidden)'" and caught.value.gated


SAFE = ["config.json", "model-1.safetensors", "tokenizer.json"]
OLD = ["pytorch_model.bin", "original/consolidated.00.pth", "original/params.json", "x.gguf", "onnx/model.onnx", "tf_model.h5"]


@pytest.mark.parametrize(
    ("paths", "exclude", "include", "expected"),
    [
        (SAFE + OLD, [], [], SAFE),
        (OLD, [], [], OLD),
        ([*OLD, "deep/model.safetensors"], [], [], [*OLD, "deep/model.safetensors"]),
        (SAFE + OLD, [], ["*.json", "*.bin"], ["config.json", "tokenizer.json", "pytorch_model.bin", "original/params.json"]),
        (SAFE + OLD, ["tokenizer*"], [], SAFE[:2]),
        (SAFE, ["*"], [], []),
        # What is included comes, in whatever format, unless it is excluded.
        (SAFE + OLD, [], ["*"], SAFE + OLD),
        (SAFE + OLD, ["*.h5"], ["*.safetensors", "*.h5", "*.gguf"], ["model-1.safetensors", "x.gguf"]),
        ([".cache/huggingface/x.metadata", ".git/config", "config.json"], [], ["*"], ["config.json"]),
    ],
)
def test_one_format_of_the_weights(paths: list[str], exclude: list[str], include: list[str], expected: list[str]) -> None:
    assert _hub_selection.select(paths, exclude, include) == expected


@pytest.mark.parametrize(
    ("repository", "needed", "not_needed"),
    [
        ("Qwen2.5-Omni", ["model-00001-of-00003.safetensors", "spk_dict.pt"], []),
        ("sentence-transformers", ["model.safetensors", "1_Pooling/config.json", "2_Dense/pytorch_model.bin"], ["pytorch_model.bin", "onnx/model.onnx"]),
        ("sentence-transformers, both", ["model.safetensors", "2_Dense/model.safetensors"], ["2_Dense/pytorch_model.bin"]),
        ("an adapter beside a model", ["pytorch_model-00001-of-00002.bin", "adapter_model.safetensors"], ["adapter_model.bin"]),
        ("a checkpoint of GPTQ", ["gptq_model-4bit-128g.safetensors"], ["pytorch_model-00001-of-00002.bin"]),
        ("Llama", ["model-00001-of-00004.safetensors"], ["consolidated.00.pth", "original/consolidated.00.pth", "original/tokenizer.model"]),
        ("a training's end", ["model.safetensors"], ["optimizer.pt", "training_args.bin", "scheduler.pt"]),
        ("a speech model", ["model.safetensors", "token2wav/flow.pt", "token2wav/campplus.onnx", "campplus.onnx"], ["model_quantized.onnx", "flax_model.msgpack"]),
        ("GGUF alone", ["m-q4.gguf", "m-q8.gguf"], []),
    ],
)
def test_what_serving_needs_is_not_left_out(repository: str, needed: list[str], not_needed: list[str]) -> None:
    """One format for each folder, not for the whole repository."""
    assert _hub_selection.select([*needed, *not_needed], [], []) == needed
