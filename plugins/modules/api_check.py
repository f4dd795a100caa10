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
  - Queries the health endpoint and the model list of each service, sends it a real request for its task (a completion, an embedding, a score, a
    transcription), and checks the content of the answer. All services are checked in parallel.
  - A status code alone is not enough. C(/health) returns 200 even while generation hangs, and a wrong reasoning parser leaves C(content) empty.
  - Runs on the service's host (as part of the health gate) or, delegated, on any machine that has to reach the services.
options:
  services:
    description: The services.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service, for messages.
        type: str
        required: true
      url:
        description: Base URL, without C(/v1).
        type: str
        required: true
      model:
        description: Name of the model in the API.
        type: str
        required: true
      task:
        description: >-
          Task of the service, which decides the kind of request. V(auto) tries the tasks in turn and skips those that the service does not support.
        type: str
        choices: [auto, chat, completion, embedding, score, rerank, classify, pooling, transcription]
        default: auto
      thinking:
        description: >-
          Whether a chat model thinks before it answers. V(never): the content must not be empty. V(hybrid): the same, and the request turns
          thinking off with O(services[].thinking_switch). V(always) and V(unknown): reasoning text counts as an answer too, since the content may
          come much later.
        type: str
        choices: [never, hybrid, always, unknown]
        default: unknown
      thinking_switch:
        description: Argument of the chat template that turns thinking off when it is V(false). Used with O(services[].thinking=hybrid).
        type: str
        default: enable_thinking
      certificate_name:
        description: Name that the TLS certificate must be valid for, if it is not the host in O(services[].url).
        type: str
      verify_certificate:
        description: Whether to verify the certificate. V(false) is meant for checks on the service's own host.
        type: bool
        default: true
      authorities:
        description: PEM file with the CA certificates to trust. By default, those of the system.
        type: path
      api_key:
        description: API key of the service.
        type: str
      unit:
        description: systemd unit of the service, if the module runs on its host. A failed check shows the end of the unit's journal.
        type: str
      adapters:
        description: Names of LoRA adapters that the model list has to have.
        type: list
        elements: str
        default: []
  fail:
    description: Whether the task fails when a service fails its check. With V(false), read RV(errors) instead.
    type: bool
    default: true
  prompt:
    description: Prompt to send to each service.
    type: str
    default: Say one word.
  max_tokens:
    description: Maximum length of the answer, in tokens.
    type: int
    default: 16
  timeout:
    description: Seconds until an answer has to be complete.
    type: int
    default: 120
extends_documentation_fragment:
  - inferops.gpu.attributes.read
attributes:
  action:
    description: On the controller, the check runs inside the task's own process, without starting another one.
    support: full
"""

EXAMPLES = r"""
- name: Verify from the controller that the service answers
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
    Answers by service name, each with C(task), C(content) (the text of the answer, or a description of an answer that is not text), C(tokens) and
    C(seconds).
  returned: always
  type: dict
errors:
  description: Errors by service name. Services that passed are not included.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _api_check


def main() -> None:
    module = AnsibleModule(argument_spec=_api_check.OPTIONS, supports_check_mode=True)
    result = _api_check.check(module.params)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
