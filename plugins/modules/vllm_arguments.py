#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: vllm_arguments
short_description: Check the arguments of vllm serve with the parser of an installed release
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Parses and validates a command line with vLLM's own code, without abbreviations and without starting an engine,
    and looks up the tool-call and reasoning parsers that it names.
  - It must run with the interpreter of the release, set by the task variable C(ansible_python_interpreter).
  - When all is well the digest is kept in O(stamp), so that a caller can skip the check for an input that has passed.
options:
  service:
    description: Name of the service, for the message.
    type: str
    required: true
  argv:
    description: The whole command, C(vllm serve …).
    type: list
    elements: str
    required: true
  stamp:
    description: File that is written when the check has passed.
    type: path
    required: true
  digest:
    description: What is written into O(stamp).
    type: str
    required: true
attributes:
  check_mode:
    description: Checks, and writes no stamp.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Check the arguments with the release's own parser
  inferops.gpu.vllm_arguments:
    service: qwen3
    argv: [/opt/inferops/releases/vllm-0.32.0-1a2b3c4d/bin/vllm, serve, /models/qwen3, --max-model-len=32768]
    stamp: /var/lib/inferops/checked/qwen3
    digest: 5f2b
  vars:
    ansible_python_interpreter: /opt/inferops/releases/vllm-0.32.0-1a2b3c4d/bin/python
"""

RETURN = r"""
seconds:
  description: How long the check took, in seconds.
  returned: success
  type: float
"""

import contextlib
import os
import sys
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _vllm_parser


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "argv": {"type": "list", "elements": "str", "required": True},
            "stamp": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    # vLLM logs to standard output while it is imported, where the module's answer belongs.
    os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1")
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _vllm_parser.use_cpu_where_no_gpu_is()
            _vllm_parser.check(module.params["argv"][2:])
    except _vllm_parser.ArgumentFault as fault:
        module.fail_json(
            msg=f"vLLM refuses the arguments of service {module.params['service']}: {fault}. "
                "Change them in the service's vllm_args. No service was touched.",
            argv=module.params["argv"],
        )
    if not module.check_mode:
        with open(module.params["stamp"], "w", encoding="utf-8") as file:
            file.write(module.params["digest"])
    module.exit_json(changed=False, seconds=round(time.monotonic() - start, 1))


if __name__ == "__main__":
    main()
