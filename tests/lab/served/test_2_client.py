# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service as its users see it: from the controller, over the host's address, with the official client."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import openai
import pytest
from openai import OpenAI


def test_health(address: str) -> None:
    """Answers without a key."""
    assert urllib.request.urlopen(f"{address}/health", timeout=10).status == 200


def test_models_name_the_service(client: OpenAI, service: dict[str, Any]) -> None:
    """The one model, under the service's name."""
    assert [model.id for model in client.models.list()] == [service["name"]]


def test_completion_has_content(client: OpenAI, service: dict[str, Any]) -> None:
    """A status of 200 is not enough: with a wrong reasoning parser the content is empty."""
    answer = client.chat.completions.create(model=service["name"], messages=[{"role": "user", "content": "Say one word."}], max_tokens=16)
    assert answer.choices[0].message.content
    assert answer.usage and answer.usage.completion_tokens > 0


def test_stream(client: OpenAI, service: dict[str, Any]) -> None:
    """The answer comes in pieces."""
    pieces = client.chat.completions.create(
        model=service["name"], messages=[{"role": "user", "content": "Count."}], max_tokens=16, stream=True
    )
    texts = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    assert len(texts) > 2 and "".join(texts)


def test_tool_call(client: OpenAI, service: dict[str, Any]) -> None:
    """A named function is called with an argument that its schema allows, whatever the weights.

    C(strict) is what makes vLLM validate the arguments with the schema. Weights without sense may fill pages with white space first.
    """
    tool = {
        "type": "function",
        "function": {
            "name": "set_light",
            "description": "Switch the light.",
            "strict": True,
            "parameters": {"type": "object", "properties": {"state": {"type": "string", "enum": ["on", "off"]}}, "required": ["state"]},
        },
    }
    answer = client.chat.completions.create(
        model=service["name"], messages=[{"role": "user", "content": "Light on."}], max_tokens=1024, temperature=0,
        tools=[tool], tool_choice={"type": "function", "function": {"name": "set_light"}},
    )
    calls = answer.choices[0].message.tool_calls
    assert calls and calls[0].function.name == "set_light"
    assert json.loads(calls[0].function.arguments)["state"] in ("on", "off")


def test_no_key_no_answer(address: str) -> None:
    """The key is asked for."""
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0).models.list()
