# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an OpenAI-compatible server a few things. Standard library only: it runs on bare hosts and in any execution environment."""

from __future__ import annotations

import json
import time
import typing as t
import urllib.error
import urllib.request


class ApiFault(Exception):
    """What a server answered instead of what a working one answers."""


class Api:
    """One server: base address without /v1, key (may be empty), seconds that a request may take."""

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self.url, self.key, self.timeout = url.rstrip("/"), key, timeout

    def call(self, path: str, body: dict[str, t.Any] | None = None) -> t.Any:
        """Return the JSON (None where the body is empty) that a GET, or with a body a POST, is answered with. Raises ApiFault."""
        request = urllib.request.Request(self.url + path, headers={"Content-Type": "application/json"})
        if self.key:
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        data = json.dumps(body).encode() if body is not None else None
        # No proxy: the services are on the cluster's own network.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, data=data, timeout=self.timeout) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            hint = " (is api_key of the service what it was started with?)" if error.code == 401 else ""
            raise ApiFault(f"{path} answered {error.code}: {said}{hint}") from error
        except (OSError, ValueError) as error:
            raise ApiFault(f"{path}: {error}") from error


def prove(api: Api, model: str, thinking: str, prompt: str, max_tokens: int) -> dict[str, t.Any]:
    """Return content, tokens and seconds of a real completion, after health and model list were as they should be. Raises ApiFault."""
    api.call("/health")
    names = [entry.get("id") for entry in api.call("/v1/models").get("data", [])]
    if model not in names:
        raise ApiFault(f"/v1/models names {', '.join(map(str, names)) or 'nothing'} and not {model}")
    body: dict[str, t.Any] = {
        "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0,
    }
    if thinking == "hybrid":
        body["chat_template_kwargs"] = {"enable_thinking": False}
    start = time.monotonic()
    answer = api.call("/v1/chat/completions", body)
    seconds = time.monotonic() - start
    content, thought = read_message(answer)
    if not content and not (thinking == "always" and thought):
        raise ApiFault(f"a completion came back with empty content{explain_thought(thought)}")
    return {"content": content or thought, "tokens": answer.get("usage", {}).get("completion_tokens"), "seconds": round(seconds, 3)}


def read_message(answer: t.Any) -> tuple[str, str]:
    """Return content and reasoning of the first choice of a chat completion. Raises ApiFault on another shape."""
    try:
        message = answer["choices"][0]["message"]
    except (KeyError, IndexError, TypeError) as error:
        raise ApiFault(f"/v1/chat/completions answered something else than a completion: {json.dumps(answer)[:300]}") from error
    # The field was `reasoning_content` in older versions of vLLM.
    thought = message.get("reasoning") or message.get("reasoning_content") or ""
    return (message.get("content") or "").strip(), thought.strip()


def explain_thought(thought: str) -> str:
    """Name the usual cause of an empty answer."""
    return "; all of it is in `reasoning`: this model does not think, take its reasoning_parser away" if thought else ""
