# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Models that the catalogue does not know, asked about at a mirror that really answers over HTTP: the lab's own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import sys
import threading

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modelscope_server
import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._hub import Hub, HubError
from ansible_collections.inferops.gpu.plugins.plugin_utils.model_lookup import Lookup, cache_folder
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer, Question, code_from
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan, questions, resolve
from plan_builders import LLAMA, gpus, host_facts, service
from plan_runs import play  # noqa: F401, pytest finds the fixture by its name here

ROOT = Path(__file__).resolve().parents[6]
COMMIT = "0" * 39 + "1"
# Nothing listens there, and a connection is refused at once.
SILENT = "http://127.0.0.1:9"
GIB = 2**30


def load_mirror() -> Any:
    """The program lab/mirror/hub_mirror.py as a module. It finds what stands beside it as a program does."""
    if str(ROOT / "lab" / "mirror") not in sys.path:
        sys.path.append(str(ROOT / "lab" / "mirror"))
    spec = importlib.util.spec_from_file_location("hub_mirror", ROOT / "lab" / "mirror" / "hub_mirror.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module there.
    sys.modules["hub_mirror"] = module
    spec.loader.exec_module(module)
    return module


class Mirror:
    """A mirror of its own, with the models that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = load_mirror().serve(folder, folder, "127.0.0.1", 0, None)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, repo: str, config: Any, weights: int, commit: str = COMMIT, more: dict[str, str | bytes] | None = None) -> None:
        """A repository of a config.json (None for none, text as it is), one file of weights, of which only the size is there, and more files."""
        folder = self.folder / repo.replace("/", "--")
        (folder / commit).mkdir(parents=True)
        files = [{"path": "model.safetensors", "size": weights, "oid": "0" * 40}, {"path": "model.gguf", "size": 5, "oid": "0" * 40}]
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (folder / commit / "config.json").write_text(text, encoding="utf-8")
            files.append({"path": "config.json", "size": len(text), "oid": "0" * 40})
        for name, text in (more or {}).items():
            (folder / commit / name).write_bytes(text.encode() if isinstance(text, str) else text)
            files.append({"path": name, "size": len(text), "oid": "0" * 40})
        data = {"id": repo, "refs": {"main": commit}, "revisions": {commit: {"fingerprint": "", "files": files}}}
        (folder / "repo.json").write_text(json.dumps(data), encoding="utf-8")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A mirror that runs."""
    (tmp_path / "mirror").mkdir()
    made = Mirror(tmp_path / "mirror")
    yield made
    made.server.shutdown()
    made.server.server_close()


def ask(repo: str, *endpoints: str, revision: str = COMMIT, cache: Path | None = None) -> Answer:
    """What the endpoints say of one repository."""
    question = Question(repo, revision, endpoints)
    return Lookup(cache, timeout=3).ask({question: ""})[question]


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_answer(mirror: Mirror, revision: str) -> None:
    """Config and files, of a commit and of a branch; the path may stand at an endpoint that is not the first."""
    mirror.put("org/known", LLAMA, 1000)
    for endpoints in ([mirror.endpoint], [SILENT, mirror.endpoint]):
        answer = ask("org/known", *endpoints, revision=revision)
        assert answer.config == LLAMA and ("model.safetensors", 1000) in (answer.files or ())
        assert (answer.missing, answer.problem) == ("", "")


@pytest.mark.parametrize("kind", [[], {}, ["chatglm"], {"a": []}, None, 5, "of-its-own"])
def test_code_of_a_configuration_with_a_strange_type(kind: Any) -> None:
    """A repository's config.json may hold anything, and still names another repository's code."""
    assert code_from({"model_type": kind, "auto_map": {"AutoConfig": "org/code--module.Class"}}) == "org/code"


TEMPLATE = "{% for tool in tools %}<tool_call>{{ tool | tojson }}{% endfor %}"
NAMED = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": TEMPLATE}]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"chat_template.jinja": TEMPLATE, "tokenizer_config.json": '{"chat_template": "another"}'}, TEMPLATE),
        ({"tokenizer_config.json": json.dumps({"chat_template": TEMPLATE})}, TEMPLATE),
        ({"tokenizer_config.json": json.dumps({"chat_template": NAMED})}, TEMPLATE),
        ({"tokenizer_config.json": json.dumps({"chat_template": NAMED[:1]})}, "plain"),
        ({}, ""),
        ({"tokenizer_config.json": "{}"}, ""),
        ({"tokenizer_config.json": "[]"}, ""),
        ({"tokenizer_config.json": '{"chat_template": [5, {"name": "default", "template": 7}]}'}, ""),
        ({"tokenizer_config.json": '{"chat_template": [{"name": ["x"], "template": "t"}, {"name": "default", "template": "plain"}]}'}, "plain"),
        ({"tokenizer_config.json": "no json"}, ""),
        ({"chat_template.jinja": b"\xff\xfe"}, ""),
        ({"chat_template.jinja": "x" * 200_001}, ""),
    ],
)
def test_chat_template(mirror: Mirror, tmp_path: Path, more: dict[str, str | bytes], found: str) -> None:
    """From its own file or the tokenizer's. It is no problem when there is none, or one that cannot be used; and the cache has it."""
    mirror.put("org/chat", LLAMA, 1000, more=more)
    answer = ask("org/chat", mirror.endpoint, cache=tmp_path / "cache")
    assert (answer.template, answer.problem) == (found, "") and answer.config == LLAMA
    mirror.server.shutdown()
    assert ask("org/chat", mirror.endpoint, cache=tmp_path / "cache") == answer


def test_a_template_that_did_not_come_is_asked_for_again(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that does not answer this once must not be kept as a model without a template. A file of an earlier version is as good as it was."""
    mirror.put("org/chat", LLAMA, 1000, more={"chat_template.jinja": TEMPLATE})

    def fail(*_arguments: str) -> str:
        raise HubError("no usable answer: timed out")

    with monkeypatch.context() as patch:
        patch.setattr(Hub, "read_text_file", fail)
        assert ask("org/chat", mirror.endpoint, cache=tmp_path / "cache").template == ""
    assert ask("org/chat", mirror.endpoint, cache=tmp_path / "cache").template == TEMPLATE
    [kept] = (tmp_path / "cache" / "models").iterdir()
    kept.write_text(json.dumps({key: value for key, value in json.loads(kept.read_text(encoding="utf-8")).items() if key != "template"}), encoding="utf-8")
    mirror.server.shutdown()
    mirror.server.server_close()
    answer = ask("org/chat", mirror.endpoint, cache=tmp_path / "cache")
    assert answer.config == LLAMA and (answer.template, answer.problem) == ("", "")


def test_nowhere(mirror: Mirror) -> None:
    """Missing only where every endpoint says so."""
    assert "404" in ask("org/gone", mirror.endpoint, mirror.endpoint).missing
    unsure = ask("org/gone", mirror.endpoint, SILENT)
    assert unsure.missing == "" and SILENT in unsure.problem and "404" in unsure.problem


@pytest.mark.parametrize("config", [None, "{not json", "[" * 100_000])
def test_config_of_no_use(mirror: Mirror, config: Any) -> None:
    """The size is known all the same."""
    mirror.put("org/odd", config, 1000)
    answer = ask("org/odd", mirror.endpoint)
    assert answer.config is None and answer.files and "config.json" in answer.problem


OK = b"HTTP/1.1 200 OK\r\nContent-Length: "


@pytest.mark.parametrize("said", [b"", OK + b"500\r\n\r\n{", OK + b"2\r\n\r\n[]", b"nonsense\r\n\r\n"])
def test_something_else_answers(said: bytes) -> None:
    """Not a Hub: a problem, never an exception."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        answer = ask("org/name", f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert answer.problem and not answer.missing


def test_commit_is_asked_once(mirror: Mirror, tmp_path: Path) -> None:
    """What a commit holds is kept, for this endpoint only; a branch is asked for its commit each time."""
    mirror.put("org/known", LLAMA, 1000)
    cache = tmp_path / "cache"
    first = ask("org/known", mirror.endpoint, cache=cache)
    kept = list((cache / "models").iterdir())
    assert len(kept) == 1 and kept[0].name.startswith("org--known-")
    mirror.server.shutdown()
    mirror.server.server_close()
    assert ask("org/known", mirror.endpoint, cache=cache) == first
    assert ask("org/known", mirror.endpoint, revision="main", cache=cache).problem
    assert ask("org/known", SILENT, cache=cache).problem
    kept[0].write_text("{}", encoding="utf-8")
    assert ask("org/known", mirror.endpoint, cache=cache).problem


def test_cache_that_cannot_be_written(mirror: Mirror, tmp_path: Path) -> None:
    """The answer is the same."""
    mirror.put("org/known", LLAMA, 1000)
    (tmp_path / "file").touch()
    assert ask("org/known", mirror.endpoint, cache=tmp_path / "file").config == LLAMA
    assert cache_folder("") is None and cache_folder(5) is None


def test_silent_endpoint_costs_its_time_once() -> None:
    """Twenty models, one endpoint that takes the connection and says nothing: it is asked by those that ask at once, and by nobody after them."""
    asked = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asked.append(listener.accept())

        threading.Thread(target=take, daemon=True).start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answers = Lookup(None, timeout=0.5).ask({Question(f"org/model{number}", COMMIT, (endpoint,)): "" for number in range(20)})
        listener.shutdown(socket.SHUT_RDWR)
    assert 1 <= len(asked) <= 8
    assert all(answer.problem for answer in answers.values()) and len(answers) == 20


def test_token_goes_along_and_nowhere_else(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint gets it; no answer, file or text has it."""
    seen = []
    handler = mirror.server.RequestHandlerClass
    monkeypatch.setattr(handler, "do_GET", lambda self: (seen.append(self.headers.get("Authorization")), self.answer())[1])
    mirror.put("org/known", LLAMA, 1000)
    found = Lookup(tmp_path / "cache").ask({Question(repo, COMMIT, (mirror.endpoint,), (mirror.endpoint,)): "hf_secret" for repo in ("org/known", "org/gone")})
    assert set(seen) == {"Bearer hf_secret"}
    seen.clear()
    Lookup(None).ask({Question("org/known", COMMIT, (mirror.endpoint,), ("http://another",)): "hf_secret"})
    assert set(seen) == {None}
    assert "hf_secret" not in repr(found) and "hf_secret" not in next((tmp_path / "cache" / "models").iterdir()).read_text(encoding="utf-8")


@pytest.fixture
def plan(defaults: dict[str, Any], catalogue: Any, tables: Any) -> Any:
    """Asks and plans one host with one service of a model, as the action plugin does."""

    def plan_one(model: str, *endpoints: str, facts: Any = None, revision: str = COMMIT, vllm_args: Any = None, **variables: Any) -> Plan:
        one = service(model=model, revision=revision, vllm_args=vllm_args or {})
        host = HostInput("gpu1", {"model_services": [one], "weights_endpoints": list(endpoints), "plan_gpus": gpus(), **variables}, facts)
        asked = Lookup(None, timeout=3).ask(dict.fromkeys(questions(host, defaults, catalogue), ""))
        return resolve([host], defaults, catalogue, tables, asked)

    return plan_one


def test_unknown_model_is_planned_like_a_known_one(mirror: Mirror, plan: Any) -> None:
    """Its size, its memory, what each token takes: 2 x 2 KV heads x 128 x 2 bytes x 32 layers on one of four ranks."""
    mirror.put("org/new", LLAMA, 16 * 10**9)
    found = plan("org/new", mirror.endpoint)
    assert found.errors == [] and not any("not in the catalogue" in warning for warning in found.warnings)
    host = found.hosts["gpu1"]
    # The GGUF file is the same weights in another format.
    assert host["weights"][0]["bytes"] == 16 * 10**9 + len(json.dumps(LLAMA))
    memory = host["services"][0]["memory"]
    assert memory["kv_bytes_per_token"] == 2 * 2 * 128 * 2 * 32
    assert memory["max_model_len"] == 131072 and 3.5 * GIB < memory["weights"] < 4.5 * GIB


@pytest.mark.parametrize(
    ("weights", "arguments", "key"),
    [
        (16 * 10**9, {"max_model_len": 200000}, "vllm_args.max_model_len"),
        (16 * 10**9, {"tensor_parallel_size": 3, "pipeline_parallel_size": 1}, "vllm_args.tensor_parallel_size"),
        (900 * 10**9, {}, "gpus"),
    ],
)
def test_unknown_model_is_checked(mirror: Mirror, plan: Any, weights: int, arguments: dict[str, Any], key: str) -> None:
    """Context, heads and memory, as of any model."""
    mirror.put("org/new", LLAMA, weights)
    assert key in [error.key for error in plan("org/new", mirror.endpoint, vllm_args=arguments).errors]


def test_disk_is_checked(mirror: Mirror, plan: Any) -> None:
    """By the sizes that the mirror states."""
    mirror.put("org/new", LLAMA, 16 * 10**9)
    facts = host_facts(mounts=[{"mount": "/", "free_bytes": 10**10}], gpus=gpus())
    assert [error.key for error in plan("org/new", mirror.endpoint, facts=facts).errors] == ["weights_dir, vllm_releases_dir, host_cache_dir"]


def test_missing_is_a_error(mirror: Mirror, plan: Any) -> None:
    """One that names the service, the repository and the fix; but not where the host has the weights already."""
    error = plan("org/gone", mirror.endpoint).errors[0]
    assert (error.service, error.key) == ("qwen", "model")
    assert "org/gone" in error.value and "404" in error.why and "weights_endpoints" in error.fix
    there = host_facts(weights=[f"/var/lib/inferops/models/org--gone/{COMMIT}"], gpus=gpus())
    assert plan("org/gone", mirror.endpoint, facts=there).errors == []


def test_silence_is_a_warning(plan: Any) -> None:
    """Planning offline works."""
    found = plan("org/new", SILENT)
    assert found.errors == [] and [warning for warning in found.warnings if "org/new is not in the catalogue" in warning and SILENT in warning]


def test_nobody_is_asked_against_the_users_will(plan: Any) -> None:
    """plan_lookup: false. Nor is there a warning then."""
    found = plan("org/new", SILENT, plan_lookup=False)
    assert found.errors == [] and not any("not in the catalogue" in warning for warning in found.warnings)


@pytest.mark.parametrize("model", ["qwen3-235b-a22b-instruct-2507-fp8", "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "no-such-entry", 5, None, ["a/b"]])
def test_nothing_else_is_asked(defaults: dict[str, Any], catalogue: Any, model: Any) -> None:
    """What the catalogue knows, by name or repository, and what is no repository."""
    assert questions(HostInput("gpu1", {"model_services": [service(model=model)]}), defaults, catalogue) == []


def test_own_entries_and_absent_services_are_not_asked(defaults: dict[str, Any], catalogue: Any) -> None:
    """Where the entry says how the model is built; nor services whose revision cannot be used."""
    own = {"plan_catalogue": {"mine": {"repo": "org/mine", "architecture": {"num_layers": 32}}}}
    services = [service(model="org/mine"), service(model="mine"), service(model="org/other", state="absent"), service(model="org/other", revision="a b"), "text"]
    assert questions(HostInput("gpu1", {"model_services": services, **own}), defaults, catalogue) == []


@pytest.mark.parametrize("model", ["mine", "org/new"])
def test_own_entry_that_states_no_architecture(mirror: Mirror, plan: Any, model: str) -> None:
    """It is asked about like a model that nobody knows, by its name and by its repository; what it states counts before the answer."""
    mirror.put("org/new", LLAMA, 16 * 10**9)
    own = {"mine": {"repo": "org/new", "revision": COMMIT, "architecture": {"max_position_embeddings": 4096}}}
    found = plan(model, mirror.endpoint, plan_catalogue=own)
    assert found.errors == []
    memory = found.hosts["gpu1"]["services"][0]["memory"]
    assert (memory["kv_bytes_per_token"], memory["max_model_len"]) == (2 * 2 * 128 * 2 * 32, 4096)
    mirror.put("org/huge", LLAMA, 900 * 10**9)
    own["mine"]["repo"] = "org/huge"
    assert [error.key for error in plan("mine", mirror.endpoint, plan_catalogue=own).errors] == ["gpus"]


def test_weights_are_held_against_memory_where_the_cache_is_not_known(mirror: Mirror, plan: Any) -> None:
    """Compressed attention of a new kind: nobody knows what a token takes, and 794 GB do not fit all the same."""
    config = {**LLAMA, "compress_ratios": [4, 128] * 16}
    mirror.put("org/odd", config, 794 * 10**9)
    assert [error.key for error in plan("org/odd", mirror.endpoint).errors] == ["gpus"]
    mirror.put("org/small", config, 16 * 10**9)
    found = plan("org/small", mirror.endpoint)
    memory = found.hosts["gpu1"]["services"][0]["memory"]
    assert found.errors == [] and 3.5 * GIB < memory["weights"] < 4.5 * GIB
    assert [memory[key] for key in ("kv_bytes_per_token", "max_model_len", "concurrency")] == [None] * 3


def test_weights_are_held_against_memory_without_a_config(mirror: Mirror, plan: Any) -> None:
    """Not even a config.json: the size is enough."""
    mirror.put("org/bare", None, 794 * 10**9)
    found = plan("org/bare", mirror.endpoint)
    assert [error.key for error in found.errors] == ["gpus"] and "nothing was changed" not in found.errors[0].why


def test_config_that_contradicts_itself(mirror: Mirror, plan: Any) -> None:
    """Nothing of it is believed, and the reader is told."""
    mirror.put("org/odd", {**LLAMA, "num_key_value_heads": 5}, 16 * 10**9)
    found = plan("org/odd", mirror.endpoint)
    assert found.errors == [] and [warning for warning in found.warnings if "num_kv_heads" in warning and "cannot share" in warning]


def test_plan_asks_with_the_hosts_own_settings(mirror: Mirror, play: Any, tmp_path: Path) -> None:  # noqa: F811
    """The action plugin: endpoints, token and cache from the inventory, one question for two hosts."""
    mirror.put("org/new", LLAMA, 16 * 10**9)
    inventory = f"""
        gpus:
          hosts: {{gpu1: , gpu2: }}
          vars:
            plan_gpus: 4
            plan_cache_dir: "{tmp_path}/{{{{ 'ca' + 'che' }}}}"
            weights_endpoints: ["{mirror.endpoint}"]
            weights_token: "{{{{ 'hf_' ~ 'of_no_matter' }}}}"
            model_services: [{{name: new, model: org/new, revision: "{COMMIT}", port: 8001}}]
    """
    run = play(inventory, "--check", "-e", "plan_lookup=true")
    assert run.status == 0, run.printed
    assert [host["weights"][0]["bytes"] for host in run.planned["hosts"].values()] == [16 * 10**9 + len(json.dumps(LLAMA))] * 2
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 1


def test_modelscope_answers_too(mirror: Mirror, plan: Any) -> None:
    """Its files and its config.json; a Hub that has the model is asked first, wherever it stands in the list."""
    texts = {"config.json": json.dumps(LLAMA).encode(), "model.safetensors": b"x" * 1000}
    server = modelscope_server.Server("org/new", texts)
    try:
        found = plan("org/new", server.endpoint, revision=modelscope_server.COMMIT)
        assert found.errors == [] and found.hosts["gpu1"]["weights"][0]["bytes"] == sum(map(len, texts.values()))
        error = plan("org/new", server.endpoint).errors[0]
        assert error.key == "model" and "ModelScope has its own commits" in error.why
        server.requests.clear()
        mirror.put("org/new", LLAMA, 16 * 10**9)
        assert plan("org/new", server.endpoint, mirror.endpoint).hosts["gpu1"]["weights"][0]["bytes"] > 16 * 10**9 and not server.requests
    finally:
        server.close()
