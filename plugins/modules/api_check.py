#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: api_check
short_description: Verify that OpenAI-compatible model services answer
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Asks each service, side by side, for its health, for the list of models, and for what it is there for (a completion, an embedding, a score, a
    transcription), and looks at the content.
    A status code alone says little. C(/health) stays 200 while generation hangs, and a wrong reasoning parser leaves C(content) empty.
  - Runs on the host itself (as a gate) or, delegated, on any machine that should reach the services.
options:
  services:
    description: The services.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name for messages.
        type: str
        required: true
      url:
        description: Base address, without C(/v1).
        type: str
        required: true
      model:
        description: Name of the model in the API.
        type: str
        required: true
      task:
        description: >-
          What the service is there for, and so asked for. V(auto) tries one after the other until it answers something else than that it does no such
          thing.
        type: str
        choices: [auto, chat, completion, embedding, score, rerank, classify, pooling, transcription]
        default: auto
      thinking:
        description: >-
          Whether a model that chats thinks before it answers. V(never): the content must not be empty. V(hybrid): the same, and the
          request turns thinking off with O(services[].thinking_switch). V(always), and V(unknown): a thought counts too, since the answer may come long
          after.
        type: str
        choices: [never, hybrid, always, unknown]
        default: unknown
      thinking_switch:
        description: Argument of the chat template that turns thinking off when it is false, with O(services[].thinking=hybrid).
        type: str
        default: enable_thinking
      certificate_name:
        description: Whose the certificate of a service with an address of https has to be, where that is not the address in O(services[].url).
        type: str
      verify_certificate:
        description: Whether the certificate is verified. V(false) is for who asks on the host of the service itself.
        type: bool
        default: true
      authorities:
        description: File with the certificates of the authorities to trust, PEM. The system's unless set.
        type: path
      api_key:
        description: Key of the service's API.
        type: str
      unit:
        description: Unit on the machine where this runs. The end of its journal is shown when the check fails.
        type: str
  fail:
    description: Whether a service that does not serve fails the task. With V(false) RV(errors) tells of it.
    type: bool
    default: true
  prompt:
    description: What each service is asked.
    type: str
    default: Say one word.
  max_tokens:
    description: Length of the answer.
    type: int
    default: 16
  timeout:
    description: Seconds that one answer may take.
    type: int
    default: 120
extends_documentation_fragment:
  - inferops.gpu.attributes.read
"""

EXAMPLES = r"""
- name: Verify from outside that the service answers
  inferops.gpu.api_check:
    services:
      - name: qwen3
        url: http://192.0.2.10:8001
        model: qwen3
  delegate_to: localhost
"""

RETURN = r"""
answers:
  description: >-
    By service, its C(task), the C(content) of the answer, or in words what it was where that is no text, its C(tokens) and the C(seconds) that it took.
  returned: always
  type: dict
errors:
  description: By service, why it does not serve.
  returned: always
  type: dict
"""

import concurrent.futures
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _journal, _masking, _openai_api, _systemd, _task_checks
from ..module_utils._service_options import API, services

# Lines of a service's journal that are looked through, and of those that are shown.
JOURNAL_LINES = 300
SHOWN_LINES = 20


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": services(API, {
                "task": {"type": "str", "choices": [_task_checks.AUTO, *_task_checks.TASKS], "default": _task_checks.AUTO},
                "thinking": {"type": "str", "choices": ["never", "hybrid", "always", "unknown"], "default": "unknown"},
                "thinking_switch": {"type": "str", "default": "enable_thinking"},
                "certificate_name": {"type": "str"},
                "verify_certificate": {"type": "bool", "default": True},
                "authorities": {"type": "path"},
                "unit": {"type": "str"},
            }),
            "prompt": {"type": "str", "default": "Say one word."},
            # Counts tokens of a text, not credentials.
            "max_tokens": {"type": "int", "default": 16, "no_log": False},
            "timeout": {"type": "int", "default": 120},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    asked = module.params["services"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        results = list(pool.map(lambda service: ask(service, module.params), asked))
    answers = {service["name"]: result for service, result in zip(asked, results) if "error" not in result}
    errors = {service["name"]: result["error"] for service, result in zip(asked, results) if "error" in result}
    if errors and module.params["fail"]:
        module.fail_json(msg="\n".join(errors.values()), answers=answers, errors=errors)
    module.exit_json(changed=False, answers=answers, errors=errors)


def ask(service: dict[str, t.Any], parameters: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the answer of one service, or an error with the end of its journal."""
    thinking = "" if service["thinking"] == "unknown" else service["thinking"]
    question = _task_checks.Question(service["model"], thinking, service["thinking_switch"] or "", parameters["prompt"], parameters["max_tokens"])
    trust = _openai_api.Trust(service["verify_certificate"], service["certificate_name"] or "", service["authorities"] or "")
    try:
        api = _openai_api.Api(service["url"], service["api_key"] or "", parameters["timeout"], trust)
        return _task_checks.verify(api, service["task"], question)
    except _openai_api.ApiError as error:
        lines = _journal.excerpt(_systemd.journal(service["unit"], "", JOURNAL_LINES), SHOWN_LINES) if service["unit"] else []
        tail = f"\nFrom its journal (journalctl -u {service['unit']}):\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
        said = f"Service {service['name']} at {service['url']} does not serve: {error}{tail}"
        return {"error": _masking.masked(said, service["api_key"])}


if __name__ == "__main__":
    main()
