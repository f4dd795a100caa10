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
attributes:
  action:
    description: On the controller it runs in the process of the task, which saves the start of another one.
    support: full
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
