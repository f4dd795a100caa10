# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries endpoints from the controller about models without a catalogue entry, and caches the metadata of a commit, which never changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Collection, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils import _hub_answers
from ansible_collections.inferops.gpu.plugins.module_utils._endpoint_kinds import naming_order
from ansible_collections.inferops.gpu.plugins.module_utils._hub import Hub, HubError
from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked
from ansible_collections.inferops.gpu.plugins.module_utils._modelscope import api_of
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer, Question

# Seconds for one answer: users wait for the plan.
TIMEOUT_SECONDS = 5
# Characters of a chat template. The longest known have about 20000.
TEMPLATE_LENGTH = 200_000
_AT_ONCE = 8
ADAPTER_CONFIG = "adapter_config.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Lookup:
    """Queries endpoints about several models in parallel.

    :param cache: the directory for the cache, or None
    :param timeout: seconds for one answer of an endpoint
    """

    def __init__(self, cache: Path | None, timeout: float = TIMEOUT_SECONDS) -> None:
        self._cache, self._timeout = cache, timeout
        # Endpoints that did not answer, with the reason: they are not queried again.
        self._silent: dict[str, str] = {}

    def ask(self, questions: Mapping[Question, str]) -> dict[Question, Answer]:
        """The answers to all questions.

        :param questions: each question with its token, or an empty text
        """
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return dict(zip(questions, pool.map(self._answer, questions.keys(), questions.values())))

    def _answer(self, question: Question, token: str) -> Answer:
        missing, silent = [], []
        for endpoint in naming_order(question.endpoints):
            if endpoint in self._silent:
                silent.append(masked(f"{endpoint}: {self._silent[endpoint]}", token, endpoint))
                continue
            try:
                return self._ask_one(endpoint, question, token)
            except HubError as error:
                said = masked(f"{endpoint} answers {error}" if error.missing else f"{endpoint}: {error}", token, endpoint)
                (missing if error.missing else silent).append(said)
                if not error.missing and str(error).startswith("no usable answer"):
                    self._silent[endpoint] = str(error)
        if silent:
            return Answer(problem=f"the controller could not read its metadata ({'; '.join([*missing, *silent])})")
        return Answer(missing="; ".join(missing))

    def _ask_one(self, endpoint: str, question: Question, token: str) -> Answer:
        """The metadata from one endpoint.

        :raises HubError: when it does not have the repository, or does not answer
        """
        if _COMMIT.fullmatch(question.revision):
            kept = self._read(endpoint, question.repo, question.revision)
            if kept is not None:
                return kept
        hub = api_of(endpoint, token if endpoint in question.token_endpoints else "", timeout=self._timeout)
        commit = hub.read_commit(question.repo, question.revision)
        kept = self._read(endpoint, question.repo, commit)
        if kept is not None:
            return kept
        files = tuple(hub.read_sizes(question.repo, commit))
        adapter = self._adapter(hub, question.repo, commit, {path for path, _size in files})
        try:
            config = hub.read_json_file(question.repo, commit, "config.json")
            template = template_of(hub, question.repo, commit, {path for path, _size in files})
            answer = Answer(files, config, template or "", adapter=adapter)
        except HubError as error:
            # The sizes are known nevertheless. A repository of an adapter alone has no config.json.
            return Answer(files, problem=masked(f"its config.json cannot be read: {endpoint} answers {error}", hub.token, endpoint), adapter=adapter)
        if template is not None:
            self._keep(endpoint, question.repo, commit, answer)
        return answer

    @staticmethod
    def _adapter(hub: Hub, repo: str, commit: str, paths: Collection[str]) -> Any:
        """The adapter_config.json of a commit; None without one, and when the endpoint did not answer: checks of adapters then have nothing to go by."""
        try:
            return hub.read_json_file(repo, commit, ADAPTER_CONFIG) if ADAPTER_CONFIG in paths else None
        except HubError:
            return None

    def _path(self, endpoint: str, repo: str, commit: str) -> Path | None:
        """A mirror may serve other files under the same commit, so the endpoint is part of the name."""
        name = hashlib.sha256("\n".join((endpoint, repo, commit)).encode()).hexdigest()[:32]
        return self._cache / "models" / f"{repo.replace('/', '--')}-{name}.json" if self._cache else None

    def _read(self, endpoint: str, repo: str, commit: str) -> Answer | None:
        path = self._path(endpoint, repo, commit)
        try:
            kept = json.loads(path.read_text(encoding="utf-8")) if path else None
            files = tuple((_hub_answers.path(name), _hub_answers.size(size)) for name, size in kept["files"]) if kept else ()
            # Files of earlier versions have no template.
            return Answer(files, kept["config"], str(kept.get("template") or ""), adapter=kept.get("adapter")) if kept else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            # Not cached, or invalid: the endpoint is queried instead.
            return None

    def _keep(self, endpoint: str, repo: str, commit: str, answer: Answer) -> None:
        """Cache an answer atomically. When that fails, the next plan queries the endpoint again."""
        path = self._path(endpoint, repo, commit)
        if path is None:
            return
        kept = {"files": answer.files, "config": answer.config, "template": answer.template, "adapter": answer.adapter}
        text = json.dumps({"endpoint": endpoint, "repo": repo, "commit": commit, **kept})
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".keeping-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                os.replace(scratch, path)
            except OSError:
                os.unlink(scratch)


def template_of(hub: Hub, repo: str, commit: str, paths: Collection[str]) -> str | None:
    """The chat template of a commit, from its own file or the tokenizer's; empty without a usable one, None when the endpoint did not answer.

    It only serves to propose parsers, so a plan goes on without it.
    """
    try:
        if "chat_template.jinja" in paths:
            found: Any = hub.read_text_file(repo, commit, "chat_template.jinja")
        elif "tokenizer_config.json" in paths:
            settings = hub.read_json_file(repo, commit, "tokenizer_config.json")
            found = settings.get("chat_template") if isinstance(settings, Mapping) else ""
        else:
            return ""
    except HubError as error:
        return "" if error.missing or error.unusable else None
    if isinstance(found, list):
        # Several templates by name; the one for tools has what parsers look for.
        named = {part["name"]: part.get("template") for part in found if isinstance(part, Mapping) and isinstance(part.get("name"), str)}
        found = named.get("tool_use") or named.get("default")
    return found if isinstance(found, str) and len(found) <= TEMPLATE_LENGTH else ""


def cache_folder(setting: Any) -> Path | None:
    """The directory that plan_cache_dir names; None when it is empty or cannot be used."""
    try:
        return Path(setting).expanduser() if isinstance(setting, str) and setting else None
    except RuntimeError:
        # ~ cannot be expanded without a home directory.
        return None
