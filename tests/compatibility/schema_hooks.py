# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Schemathesis cannot know from /openapi.json: the model's name, how much one request may ask for, and one error in the document."""

from __future__ import annotations

from typing import Any

import schemathesis
from service import MODEL

# A request may ask for 2**63 answers. Limited so that a run takes a minute and not a day: the number of answers, and the tokens of each.
LIMITS = {"n": 2, "best_of": 2, "max_tokens": 16, "max_completion_tokens": 16, "min_tokens": 16, "max_output_tokens": 16}


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Requests the model that is served: with any other name the answer is 404, and nothing behind it is tested."""
    if not isinstance(body, dict):
        return body
    if "model" in body:
        body["model"] = MODEL
    for name, most in LIMITS.items():
        if isinstance(body.get(name), int) and body[name] > most:
            body[name] = most
    return body


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """As in vLLM's own run: the document allows tool calls of the type C(custom), which vLLM has not."""
    messages = body.get("messages") if isinstance(body, dict) else None
    calls = [
        call
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict) and isinstance(message.get("tool_calls"), list)
        for call in message["tool_calls"]
    ]
    return all(call.get("type") == "function" and "custom" not in call for call in calls if isinstance(call, dict))
