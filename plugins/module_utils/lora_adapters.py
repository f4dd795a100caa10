# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA adapters of a running engine: loaded and unloaded as a file says that root alone writes, without an endpoint.

vLLM imports C(LoraAdapters) inside its API server (C(--middleware inferops_gpu.lora_adapters.LoraAdapters)). It passes all requests on unchanged. Before the
server accepts the first one it loads the adapters of the file, and then each time the file is replaced. vLLM's own ways are not used: both its endpoints and
its resolver plugins need VLLM_ALLOW_RUNTIME_LORA_UPDATING, which opens /v1/load_lora_adapter to every client, with any path of the host
(vllm-project/vllm v0.32.0: entrypoints/serve/lora/api_router.py, entrypoints/serve/engine/serving.py). It calls the same methods as these endpoints
(entrypoints/openai/models/serving.py: OpenAIServingModels).

Standard library only, Python 3.9. The file, whose path is in the environment variable C(VARIABLE), maps names to directories:

    {"adapters": {"<name>": {"path": "/absolute/directory"}}}
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import types
import typing as t

VARIABLE = "INFEROPS_LORA_ADAPTERS"
# Seconds between two checks of the file.
INTERVAL = 1.0
# Seconds until an adapter that was not loaded is tried again: the first time, and at most. Each time takes twice as long as the one before.
RETRY, LONGEST_RETRY = 5.0, 300.0
# The beginning of each line in the journal.
PREFIX = "lora_adapters: "

Message = t.MutableMapping[str, t.Any]


class LoraAdapters:
    """ASGI middleware. C(app) is the rest of vLLM's API server."""

    def __init__(self, app: t.Any, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.app, self.clock = app, clock
        self.path = os.environ.get(VARIABLE, "")
        # The adapters that this program has loaded, by name with their directory; those of --lora-modules are vLLM's own.
        self.loaded: dict[str, str] = {}
        # Of those, the directories that the engine refused in place of the loaded ones, by name.
        self._kept: dict[str, str] = {}
        # The file that has been applied, but for adapters that the engine refused.
        self._seen: tuple[int, int, int] | None = None
        # Seconds of the pause before the next attempt, and the time of that on the clock; None when nothing is left to try.
        self._pause, self._due = RETRY, t.cast("float | None", None)
        self._complaint = ""

    async def __call__(self, scope: t.Any, receive: t.Any, send: t.Any) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        tasks: list[asyncio.Task[None]] = []

        async def on_send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                # Not listening yet: whoever reads /v1/models finds all of them.
                models = models_of(scope)
                await self.update(models)
                tasks.append(asyncio.ensure_future(self.watch(models)))
            await send(message)

        try:
            await self.app(scope, receive, on_send)
        finally:
            for task in tasks:
                task.cancel()

    async def watch(self, models: t.Any) -> None:
        """Follow the file until the engine ends."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.update(models)
            except Exception as error:  # pylint: disable=broad-exception-caught  # The engine goes on serving.
                self._complain(f"failed: {type(error).__name__}: {error}")

    async def update(self, models: t.Any) -> None:
        """Load and unload adapters if the file has been replaced or touched since the last call, or if it is time to try some again.

        The reason of a refusal may pass: permissions, a file system that was not there, memory.
        """
        try:
            found = os.stat(self.path)
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            again = seen == self._seen
            if again and (self._due is None or self.clock() < self._due):
                return
            wanted = read(self.path)
        except (OSError, ValueError) as error:
            # Nothing is unloaded because of a file that cannot be read.
            self._complain(f"{self.path} cannot be read: {error}")
            return
        self._complaint = ""
        is_done = await self.apply(models, wanted, again)
        self._pause = min(2 * self._pause, LONGEST_RETRY) if again else RETRY
        self._seen, self._due = seen, None if is_done else self.clock() + self._pause

    async def apply(self, models: t.Any, wanted: t.Mapping[str, str], again: bool) -> bool:
        """Load and unload adapters until they are as wanted; return whether another attempt without a change of the file is of use.

        With C(again) an adapter whose former directory is loaded stays: to try the new one, its name would have to answer 404 for a moment each time.
        """
        if not again:
            self._kept = {}
        is_done = True
        for name in [name for name in self.loaded if name not in wanted]:
            is_done = await self.unload(models, name) and is_done
        for name, path in wanted.items():
            if path not in (self.loaded.get(name), self._kept.get(name)):
                is_done = (await self.replace(models, name, path) or name in self._kept) and is_done
        return is_done

    async def replace(self, models: t.Any, name: str, path: str) -> bool:
        """Load an adapter, in place of one of the same name in another directory: that one returns if the engine refuses the new one."""
        former = self.loaded.get(name)
        if former is not None and not await self.unload(models, name):
            return False
        error = await self.load(models, name, path)
        if error:
            log(refusal_of(name, path) + error)
            if former is not None and not await self.load(models, name, former):
                self._kept[name] = path
                log(f"{name}: still loaded from {former}")
        return not error

    async def load(self, models: t.Any, name: str, path: str) -> str:
        """Load an adapter; return why the engine refused it, or an empty string."""
        request = types.SimpleNamespace(lora_name=name, lora_path=path, load_inplace=False, is_3d_lora_weight=False)
        try:
            answer = await models.load_lora_adapter(request)
        except Exception as error:  # pylint: disable=broad-exception-caught  # One adapter must not end the others.
            return one_line(f"{type(error).__name__}: {error}")
        if not isinstance(answer, str):
            return one_line(refusal(answer))
        self.loaded[name] = path
        log(acceptance_of(name, path))
        return ""

    async def unload(self, models: t.Any, name: str) -> bool:
        """Unload an adapter, and return whether the engine no longer has it. Running requests finish with it."""
        path = self.loaded[name]
        try:
            answer = await models.unload_lora_adapter(types.SimpleNamespace(lora_name=name, lora_int_id=None))
        except Exception as error:  # pylint: disable=broad-exception-caught  # It must not end the other changes.
            log(f"{name}: not unloaded: " + one_line(f"{type(error).__name__}: {error}"))
            return False
        # vLLM's only refusal says that it has no adapter of this name.
        del self.loaded[name]
        log(f"{name}: unloaded from {path}" if isinstance(answer, str) else f"{name}: not unloaded: {one_line(refusal(answer))}")
        return True

    def _complain(self, text: str) -> None:
        """Log a text once, and again after another one."""
        if text != self._complaint:
            log(text)
            self._complaint = text


def models_of(scope: t.Mapping[str, t.Any]) -> t.Any:
    """vLLM's OpenAIServingModels of an ASGI scope.

    :raises RuntimeError: if this vLLM has none: the start fails, since it would serve no adapter
    """
    models = getattr(getattr(scope.get("app"), "state", None), "openai_serving_models", None)
    if not hasattr(models, "load_lora_adapter") or not hasattr(models, "unload_lora_adapter"):
        raise RuntimeError(f"{PREFIX}this vLLM has no app.state.openai_serving_models with load_lora_adapter")
    return models


def read(path: str) -> dict[str, str]:
    """The adapters of a file, by name with their directory.

    :raises OSError: if it cannot be read
    :raises ValueError: if it is something else
    """
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    adapters = found.get("adapters") if isinstance(found, dict) else None
    if not isinstance(adapters, dict):
        raise ValueError("it has no dictionary of adapters")
    paths = {name: item.get("path") if isinstance(item, dict) else None for name, item in adapters.items()}
    bad = [name for name, place in paths.items() if not isinstance(place, str) or not os.path.isabs(place)]
    if bad:
        raise ValueError(f"{bad[0]} has no absolute path")
    return t.cast("dict[str, str]", paths)


def refusal(answer: t.Any) -> str:
    """The text of vLLM's ErrorResponse."""
    error = getattr(answer, "error", answer)
    return str(getattr(error, "message", error))


def acceptance_of(name: str, path: str) -> str:
    """The line about an adapter that the engine has loaded."""
    return f"{name}: loaded from {path}"


def refusal_of(name: str, path: str) -> str:
    """The beginning of the line about an adapter that the engine has refused, before the reason."""
    return f"{name}: not loaded from {path}: "


def one_line(text: str) -> str:
    """A text of the engine on one line of the journal."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:1000]


def log(text: str) -> None:
    """Write a line to the journal."""
    print(PREFIX + text, file=sys.stderr, flush=True)
