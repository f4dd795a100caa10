# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program in the engine that loads and unloads adapters, with a stand-in for vLLM's OpenAIServingModels that answers as vLLM 0.32.0 does."""

from __future__ import annotations

import asyncio
import json
import os
import types

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils import lora_adapters


class Models:
    """Adapters by name with their directory, like C(lora_requests). C(bad) are directories that the engine refuses."""

    def __init__(self, bad: tuple[str, ...] = ()) -> None:
        self.held: dict[str, str] = {}
        self.bad, self.calls = bad, [("", "")][:0]

    async def load_lora_adapter(self, request: Any) -> Any:
        self.calls.append(("load", request.lora_name))
        assert request.load_inplace is False and request.is_3d_lora_weight is False
        if request.lora_path in self.bad or request.lora_name in self.held:
            return types.SimpleNamespace(error=types.SimpleNamespace(message=f"no\n{request.lora_path}"))
        self.held[request.lora_name] = request.lora_path
        return "Success"

    async def unload_lora_adapter(self, request: Any) -> Any:
        self.calls.append(("unload", request.lora_name))
        del self.held[request.lora_name]
        return "Success"


class App:
    """The rest of the server: answers a lifespan scope, and remembers all others."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.requests.append(scope)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


Write = Callable[..., None]


@pytest.fixture(name="write")
def _write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Replaces the file by one with these adapters."""
    path = tmp_path / "adapters.json"
    monkeypatch.setenv(lora_adapters.VARIABLE, str(path))

    def write(**paths: str) -> None:
        new = tmp_path / "new"
        new.write_text(json.dumps({"adapters": {name: {"path": place} for name, place in paths.items()}}), encoding="utf-8")
        os.replace(new, path)

    write()
    return write


def update(program: lora_adapters.LoraAdapters, models: Models) -> None:
    asyncio.run(program.update(models))


def test_it_loads_unloads_and_replaces(write: Write) -> None:
    program, models = lora_adapters.LoraAdapters(App()), Models()
    write(a="/w/a", b="/w/b")
    update(program, models)
    assert models.held == {"a": "/w/a", "b": "/w/b"}
    write(a="/w/a2", c="/w/c")
    update(program, models)
    assert models.held == {"a": "/w/a2", "c": "/w/c"}
    # Nothing is done twice.
    before = list(models.calls)
    update(program, models)
    write(a="/w/a2", c="/w/c")
    update(program, models)
    assert models.calls == before


def test_a_refused_adapter_leaves_the_former_one_and_the_others(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    program, models = lora_adapters.LoraAdapters(App()), Models(bad=("/w/bad",))
    write(a="/w/a", b="/w/bad")
    update(program, models)
    assert models.held == {"a": "/w/a"}
    write(a="/w/bad", c="/w/c")
    update(program, models)
    assert models.held == {"a": "/w/a", "c": "/w/c"}
    said = capsys.readouterr().err
    assert "lora_adapters: b: not loaded from /w/bad: no /w/bad\n" in said and "lora_adapters: a: still loaded from /w/a\n" in said
    # A corrected file is followed.
    write(a="/w/a3", c="/w/c")
    update(program, models)
    assert models.held == {"a": "/w/a3", "c": "/w/c"}


def test_static_adapters_of_the_engine_stay(write: Write) -> None:
    program, models = lora_adapters.LoraAdapters(App()), Models()
    models.held["static"] = "/w/static"
    write(a="/w/a")
    update(program, models)
    write()
    update(program, models)
    assert models.held == {"static": "/w/static"}


@pytest.mark.parametrize("text", ["", "[]", '{"adapters": []}', '{"adapters": {"a": {"path": "relative"}}}', '{"adapters": {"a": "/w/a"}}'])
def test_a_file_that_cannot_be_read_changes_nothing(write: Write, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, models = lora_adapters.LoraAdapters(App()), Models()
    write(a="/w/a")
    update(program, models)
    (tmp_path / "adapters.json").write_text(text, encoding="utf-8")
    update(program, models)
    update(program, models)
    assert models.held == {"a": "/w/a"} and capsys.readouterr().err.count("cannot be read") == 1
    (tmp_path / "adapters.json").unlink()
    update(program, models)
    assert models.held == {"a": "/w/a"}


def test_it_loads_before_the_server_listens_and_follows_until_it_ends(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_adapters, "INTERVAL", 0.01)
    program, models = lora_adapters.LoraAdapters(App()), Models()
    scope = {"type": "lifespan", "app": types.SimpleNamespace(state=types.SimpleNamespace(openai_serving_models=models))}
    sent: list[tuple[str, dict[str, str]]] = []
    write(a="/w/a")

    async def run() -> None:
        end = asyncio.Event()
        messages = iter([None, end])

        async def receive() -> Any:
            wait_for = next(messages)
            if wait_for is not None:
                await wait_for.wait()
            return {}

        async def send(message: Any) -> None:
            sent.append((message["type"], dict(models.held)))

        serving = asyncio.ensure_future(program({**scope}, receive, send))
        await asyncio.sleep(0.05)
        write(b="/w/b")
        await asyncio.sleep(0.1)
        end.set()
        await serving
        write(c="/w/c")
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert sent[0] == ("lifespan.startup.complete", {"a": "/w/a"}) and models.held == {"b": "/w/b"}


def test_requests_pass_unchanged(write: Write) -> None:
    app = App()
    scope = {"type": "http", "path": "/v1/load_lora_adapter"}
    asyncio.run(lora_adapters.LoraAdapters(app)(scope, None, None))
    assert app.requests == [scope] and app.requests[0] is scope


def test_a_vllm_without_these_methods_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="openai_serving_models"):
        lora_adapters.models_of({"app": types.SimpleNamespace(state=types.SimpleNamespace())})


def test_an_exception_of_the_engine_is_a_refusal(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Models):
        async def load_lora_adapter(self, request: Any) -> Any:
            if request.lora_name == "a":
                raise RuntimeError("engine\nbusy")
            return await super().load_lora_adapter(request)

    program, models = lora_adapters.LoraAdapters(App()), Broken()
    write(a="/w/a", b="/w/b")
    update(program, models)
    assert models.held == {"b": "/w/b"} and "a: not loaded from /w/a: RuntimeError: engine busy" in capsys.readouterr().err


class Clock:
    """Seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_refused_adapter_is_tried_again_with_a_growing_pause(write: Write) -> None:
    clock, models = Clock(), Models(bad=("/w/a",))
    program = lora_adapters.LoraAdapters(App(), clock)
    write(a="/w/a", b="/w/b")
    tries = []
    for second in range(0, 40):
        clock.now = float(second)
        before = len(models.calls)
        update(program, models)
        if len(models.calls) > before:
            tries.append(second)
    assert tries == [0, 5, 15, 35]
    # The reason has passed: it loads, and that is the end of it.
    models.bad = ()
    clock.now = 100.0
    update(program, models)
    assert models.held == {"a": "/w/a", "b": "/w/b"}
    calls = list(models.calls)
    clock.now = 10000.0
    update(program, models)
    assert models.calls == calls


def test_the_pause_has_an_end_and_begins_anew_with_the_file(write: Write) -> None:
    clock, models = Clock(), Models(bad=("/w/a",))
    program = lora_adapters.LoraAdapters(App(), clock)
    write(a="/w/a")
    for second in range(0, 4000, 5):
        clock.now = float(second)
        update(program, models)
    calls = len(models.calls)
    clock.now += lora_adapters.LONGEST_RETRY
    update(program, models)
    assert len(models.calls) == calls + 1
    write(a="/w/a", b="/w/b")
    update(program, models)
    assert models.held == {"b": "/w/b"}
    models.bad = ()
    clock.now += lora_adapters.RETRY
    update(program, models)
    assert models.held == {"a": "/w/a", "b": "/w/b"}


def test_the_former_directory_serves_without_a_gap_until_the_file_is_touched(write: Write, tmp_path: Path) -> None:
    """To try the new one again, the name would have to answer 404 for a moment each time."""
    clock, models = Clock(), Models(bad=("/w/new",))
    program = lora_adapters.LoraAdapters(App(), clock)
    write(a="/w/a")
    update(program, models)
    write(a="/w/new")
    update(program, models)
    assert models.held == {"a": "/w/a"}
    models.bad, calls, clock.now = (), list(models.calls), 1000.0
    update(program, models)
    assert models.calls == calls
    os.utime(tmp_path / "adapters.json", (1, 1))
    update(program, models)
    assert models.held == {"a": "/w/new"}


def test_an_exception_while_unloading_does_not_end_the_other_changes(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Models):
        broken = True

        async def unload_lora_adapter(self, request: Any) -> Any:
            if self.broken:
                raise RuntimeError("engine busy")
            return await super().unload_lora_adapter(request)

    clock, models = Clock(), Broken()
    program = lora_adapters.LoraAdapters(App(), clock)
    write(gone="/w/gone", a="/w/a")
    update(program, models)
    write(a="/w/a2", b="/w/b")
    update(program, models)
    assert models.held == {"gone": "/w/gone", "a": "/w/a", "b": "/w/b"}
    assert "gone: not unloaded: RuntimeError: engine busy" in capsys.readouterr().err
    models.broken, clock.now = False, lora_adapters.RETRY
    update(program, models)
    assert models.held == {"a": "/w/a2", "b": "/w/b"}
