#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talk to a served model as any application would: with the official `openai` package, over the network.

    demo_client.py http://172.29.235.11:8001/v1

Shows the models, a streamed answer and a tool call. The exit status is 1, with one line that says why, when one of them
is not what it should be. The key is taken from OPENAI_API_KEY; a server without one takes any.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import openai

CITIES = ["Berlin", "Lisbon", "Oslo"]
# `strict` makes the server validate the arguments with the schema while it generates: even random weights then produce
# a call that is valid.
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": CITIES}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Unexpected(Exception):
    """The server answered, but not with what was asked for."""


def show_models(client: openai.OpenAI) -> str:
    """Print the models; returns the first one's name."""
    names = [model.id for model in client.models.list()]
    if not names:
        raise Unexpected("the server lists no model")
    print(f"models:    {', '.join(names)}")
    return names[0]


def show_stream(client: openai.OpenAI, model: str) -> None:
    """Print an answer as it arrives, with the time of its first word."""
    question = "What is a lab good for?"
    print(f"question:  {question}\nanswer:    ", end="", flush=True)
    began = time.monotonic()
    first: float | None = None
    text = ""
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=128, stream=True
    )
    for chunk in stream:
        piece = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        if piece and first is None:
            first = time.monotonic() - began
            piece = piece.lstrip()
        text += piece
        print(piece, end="", flush=True)
    print()
    if not text.strip() or first is None:
        raise Unexpected("the streamed answer has no content")
    total = time.monotonic() - began
    print(f"           first word after {first * 1000:.0f} ms, all of it after {total * 1000:.0f} ms")


def show_tool_call(client: openai.OpenAI, model: str) -> None:
    """Let the model call a function and print the call."""
    print("question:  What is the weather like in Oslo?")
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the weather like in Oslo?"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        temperature=0,
        max_tokens=256,
    )
    calls = answer.choices[0].message.tool_calls or []
    if not calls:
        raise Unexpected("the model did not call the function")
    arguments = json.loads(calls[0].function.arguments)
    if arguments.get("city") not in CITIES:
        raise Unexpected(f"the function is called with what its schema does not allow: {calls[0].function.arguments}")
    print(f"tool call: {calls[0].function.name}({json.dumps(arguments)})")


def main() -> int:
    """Show all three."""
    parser = argparse.ArgumentParser(description="Talk to a served model with the official openai package.")
    parser.add_argument("base_url", help="the API, for example http://172.29.235.11:8001/v1")
    base_url = parser.parse_args().base_url
    client = openai.OpenAI(base_url=base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=120, max_retries=0)
    try:
        model = show_models(client)
        show_stream(client, model)
        show_tool_call(client, model)
    except (openai.OpenAIError, Unexpected, json.JSONDecodeError) as error:
        print(f"\nerror: {base_url}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
