# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that are changed: what a host keeps of them, and what they answer."""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from testinfra.host import Host


def kept(host: Host, name: str) -> dict[str, Any]:
    """The last known good state of a service."""
    return dict(json.loads(host.file(f"/var/lib/inferops/served/{name}.json").content_string))


def answer(addresses: dict[str, str], service: dict[str, Any]) -> str:
    """What the service says to the official client, asked from the controller."""
    url = f"http://{next(iter(addresses.values()))}:{service['port']}/v1"
    client = OpenAI(base_url=url, api_key=service.get("api_key", "none"), timeout=120, max_retries=0)
    # Room for what a model says to itself first.
    question = [{"role": "user", "content": "Say one word."}]
    done = client.chat.completions.create(model=service["name"], messages=question, max_tokens=64, temperature=0)
    return str(done.choices[0].message.content)
