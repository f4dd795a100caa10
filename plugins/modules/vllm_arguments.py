#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: vllm_arguments
short_description: Check the arguments of an engine with the parser of its installed release
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Parses and validates a command line with vLLM's own code, without abbreviations and without starting an engine.
    Where the model's files are there, it also makes the tool-call and reasoning parsers on the model's tokenizer and works out the
    engine's configuration from its C(config.json).
  - Of the engine C(transformers) only the command line itself is checked, with the parser of C(transformers serve).
  - When all is well the digest is kept in O(stamp), so that a caller can skip the check for an input that has passed.
options:
  service:
    description: Name of the service, for the message.
    type: str
    required: true
  engine:
    description: The engine that the release is of.
    type: str
    choices: [vllm, transformers]
    default: vllm
  python:
    description: Interpreter of the release.
    type: path
    required: true
  argv:
    description: The whole command, C(vllm serve …) or C(transformers serve …).
    type: list
    elements: str
    required: true
  environment:
    description: Environment of the service. Unknown variables of vLLM are refused when the service asks for that.
    type: dict
    default: {}
  user:
    description: Account that runs the check, as it runs the service. Unless set, the account that the module runs as.
    type: str
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
    python: /opt/inferops/releases/vllm-0.32.0-1a2b3c4d/bin/python
    argv: [/opt/inferops/releases/vllm-0.32.0-1a2b3c4d/bin/vllm, serve, /models/qwen3, --max-model-len=32768]
    stamp: /var/lib/inferops/checked/qwen3
    digest: 5f2b
"""

RETURN = r"""
depth:
  description: How deep the check went. V(0) arguments alone, V(1) names too, V(3) parsers on the tokenizer and the engine's configuration too.
  returned: success
  type: int
seconds:
  description: How long the check took, in seconds.
  returned: success
  type: float
"""

import json
import os
import pwd
import subprocess
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _exit_status, _transformers_parser, _vllm_parser

# By engine its parser, its name, and where a user writes its arguments.
ENGINES = {"vllm": (_vllm_parser, "vLLM", "vllm_args"), "transformers": (_transformers_parser, "Transformers", "transformers_args")}


def ask(parser: t.Any, python: str, arguments: list[str], environment: dict[str, str], user: str | None) -> dict[str, t.Any]:
    """Return C(fault) and C(depth) as the release's own code says. Raises RuntimeError when it could not be asked."""
    program = parser.__loader__.get_source(parser.__name__)
    done = subprocess.run(
        [python, "-", *arguments], input=program, capture_output=True, text=True, check=False, cwd="/",
        env={**os.environ, **{name: str(value) for name, value in environment.items()}}, **({"user": user, "group": user_group(user)} if user else {}),
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        said = done.stderr.splitlines()[-15:]
        # A signal is the reason, whatever was said before it.
        how = [] if said and not _exit_status.signal_of(done.returncode) else [f"It {_exit_status.describe(done.returncode)}{'' if said else ' and said nothing'}."]
        raise RuntimeError("\n".join([*how, *said])) from error


def user_group(user: str) -> int:
    """Return the primary group of an account."""
    return pwd.getpwnam(user).pw_gid


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "engine": {"type": "str", "choices": list(ENGINES), "default": "vllm"},
            "python": {"type": "path", "required": True},
            "argv": {"type": "list", "elements": "str", "required": True},
            "environment": {"type": "dict", "default": {}},
            "user": {"type": "str"},
            "stamp": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    parser, name, key = ENGINES[wanted["engine"]]
    start = time.monotonic()
    try:
        # Without "vllm serve" itself.
        answer = ask(parser, wanted["python"], wanted["argv"][2:], wanted["environment"], wanted["user"])
    except (RuntimeError, OSError, KeyError) as error:
        module.fail_json(
            msg=f"The parser of {wanted['python']} could not be asked about service {wanted['service']}. No service was touched.\n{error}",
        )
    if answer["fault"]:
        module.fail_json(
            msg=f"{name} refuses the arguments of service {wanted['service']}: {answer['fault'].rstrip('.')}. "
                f"Change them in the service's {key}. No service was touched.",
            argv=wanted["argv"],
        )
    if not module.check_mode:
        with open(wanted["stamp"], "w", encoding="utf-8") as file:
            file.write(wanted["digest"])
    module.exit_json(changed=False, depth=answer["depth"], seconds=round(time.monotonic() - start, 1))


if __name__ == "__main__":
    main()
