#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: vllm_arguments
short_description: Validate engine arguments with the parser of the installed release
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Parses and validates a command line with vLLM's own code, without starting an engine. Abbreviated options are refused.
  - If the model's files exist, the module also creates the tool-call and reasoning parsers with the model's tokenizer, and the engine configuration from
    the model's C(config.json).
  - For the engine C(transformers), the module checks only the command line, with the parser of C(transformers serve).
  - After a successful check the module writes O(digest) to O(stamp), so that later runs can skip the check for the same input.
options:
  service:
    description: Name of the service, for messages.
    type: str
    required: true
  engine:
    description: Engine of the release.
    type: str
    choices: [vllm, transformers]
    default: vllm
  python:
    description: Python interpreter of the release.
    type: path
    required: true
  argv:
    description: The complete command, C(vllm serve …) or C(transformers serve …).
    type: list
    elements: str
    required: true
  environment:
    description: Environment of the service. Unknown vLLM variables are refused if the service enables that check.
    type: dict
    default: {}
  user:
    description: Account that runs the service. The check runs under the same account. By default, the account that runs the module.
    type: str
  group:
    description: Supplementary group of the account.
    type: str
  cache:
    description:
      - Cache directory of the service. If another account than O(user) owns it, as before a change of account, the check uses a temporary directory
        instead.
    type: path
  weights:
    description: Directory of the model's files. The account has to be able to read them.
    type: path
  stamp:
    description: File to write after a successful check.
    type: path
    required: true
  digest:
    description: Text to write to O(stamp).
    type: str
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Runs the check, but does not write the file O(stamp).
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
  description: >-
    Depth of the check. V(0) is the arguments only, V(1) also the names of parsers, V(3) also the parsers with the tokenizer and the engine configuration.
  returned: success
  type: int
seconds:
  description: Duration of the check in seconds.
  returned: success
  type: float
"""

import contextlib
import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _accounts, _exit_status, _masking, _transformers_parser, _vllm_parser

# By engine: its parser, its name, and the key with its arguments.
ENGINES = {"vllm": (_vllm_parser, "vLLM", "vllm_args"), "transformers": (_transformers_parser, "Transformers", "transformers_args")}


# The variables that are passed on from root's environment. Others may have secrets that are not for an engine's code.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ")


def ask(parser: t.Any, python: str, arguments: list[str], environment: dict[str, str], user: str | None, group: str | None) -> dict[str, t.Any]:
    """Return C(error) and C(depth) from the release's own parser. Raises RuntimeError when it could not run."""
    program = parser.__loader__.get_source(parser.__name__)
    done = subprocess.run(
        [python, "-", *arguments], input=program, capture_output=True, text=True, check=False, cwd="/",
        env={**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **{name: str(value) for name, value in environment.items()}},
        **(as_user(user, group) if user else {}),
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        said = _masking.masked("\n".join(done.stderr.splitlines()[-15:])).splitlines()
        # If a signal killed it, that is the reason, and comes before its output.
        if _exit_status.signal_of(done.returncode) or not said:
            said.insert(0, f"It {_exit_status.describe(done.returncode)}{'' if said else ' without a message'}.")
        raise RuntimeError("\n".join(said)) from error


def as_user(user: str, group: str | None) -> dict[str, t.Any]:
    """Return the arguments of subprocess that run a process as an account, with its groups and none of root's. Raises KeyError."""
    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    if group:
        groups.append(grp.getgrnam(group).gr_gid)
    # Only root can switch to another account.
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": sorted(set(groups))} if os.geteuid() == 0 else {}


@contextlib.contextmanager
def own_cache(cache: str | None, environment: dict[str, str], user: str | None) -> t.Iterator[dict[str, str]]:
    """Return an environment with caches that the account may write: the service's own, or a temporary empty one for this check."""
    if not cache or not user or not os.path.isdir(cache) or os.stat(cache).st_uid == pwd.getpwnam(user).pw_uid:
        yield environment
        return
    folder = tempfile.mkdtemp(prefix="inferops-check-")
    try:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield {name: str(value).replace(cache, folder) for name, value in environment.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unreadable(weights: str) -> str:
    """Return the first of the model's files that the present account cannot read; empty when there is none, or no model yet."""
    try:
        os.stat(weights)
    except PermissionError:
        return weights
    except OSError:
        return ""
    if not os.access(weights, os.R_OK | os.X_OK):
        return weights
    paths = (os.path.join(weights, name) for name in sorted(os.listdir(weights)))
    return next((path for path in paths if os.path.isfile(path) and not os.access(path, os.R_OK)), "")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "engine": {"type": "str", "choices": list(ENGINES), "default": "vllm"},
            "python": {"type": "path", "required": True},
            "argv": {"type": "list", "elements": "str", "required": True},
            "environment": {"type": "dict", "default": {}},
            "user": {"type": "str"},
            "group": {"type": "str"},
            "cache": {"type": "path"},
            "weights": {"type": "path"},
            "stamp": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    parser, name, key = ENGINES[wanted["engine"]]
    start = time.monotonic()
    try:
        # argv without "vllm serve".
        with own_cache(wanted["cache"], wanted["environment"], wanted["user"]) as environment:
            closed = _accounts.as_account(wanted["user"], unreadable, wanted["weights"]) if wanted["user"] and wanted["weights"] else ""
            if closed:
                module.fail_json(
                    msg=f"The account {wanted['user']} of service {wanted['service']} cannot read {closed}. Give the group {wanted['group']} read access "
                        f"to the model's files and folders: chgrp -R {wanted['group']} {wanted['weights']} && chmod -R g+rX {wanted['weights']}. "
                        "No service was touched.",
                )
            answer = ask(parser, wanted["python"], wanted["argv"][2:], environment, wanted["user"], wanted["group"])
    except (RuntimeError, OSError, KeyError) as error:
        module.fail_json(
            msg=f"The parser of {wanted['python']} could not check the arguments of service {wanted['service']}. No service was touched.\n{error}",
        )
    if answer["error"]:
        module.fail_json(
            msg=f"{name} rejects the arguments of service {wanted['service']}: {_masking.masked(answer['error']).rstrip('.')}. "
                f"Change them in the service's {key}. No service was touched.",
            argv=[_masking.masked(word) for word in wanted["argv"]],
        )
    if not module.check_mode:
        with open(wanted["stamp"], "w", encoding="utf-8") as file:
            file.write(wanted["digest"])
    module.exit_json(changed=False, depth=answer["depth"], seconds=round(time.monotonic() - start, 1))


if __name__ == "__main__":
    main()
