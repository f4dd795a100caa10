#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: multi_node_token
short_description: Create or read the tokens of multi-node services
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Each service has its own token. The module creates it once, on the head of the service, in a file that only root can read. The nodes of the service
    and Ray use the token for authentication.
  - The result contains the tokens. Run the module with C(no_log).
options:
  directory:
    description: Directory of the tokens, with one file per service.
    type: path
    required: true
  services:
    description: Names of the services.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes.no_diff
  - inferops.gpu.attributes.internal
attributes:
  check_mode:
    description: Creates no token. A token that does not exist yet is empty in the result.
"""

EXAMPLES = r"""
- name: Create or read the tokens
  inferops.gpu.multi_node_token:
    directory: /etc/inferops/tokens
    services: [qwen3-235b]
  register: tokens
  no_log: true
"""

RETURN = r"""
tokens:
  description: Tokens by service.
  returned: success
  type: dict
"""

import os
import secrets
import tempfile

from ansible.module_utils.basic import AnsibleModule

TOKEN_BYTES = 32


def read(path: str) -> str:
    """Return the token in a file; empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def make(path: str) -> str:
    """Create a token. When two runs do this at the same time, the second one uses the token of the first. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(new)
    return read(path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # Neither the directory nor the names are secrets.
            "directory": {"type": "path", "required": True, "no_log": False},
            "services": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    paths = {name: os.path.join(module.params["directory"], name) for name in module.params["services"]}
    tokens = {name: read(path) for name, path in paths.items()}
    missing = [name for name, token in tokens.items() if not token]
    try:
        if not module.check_mode:
            tokens.update({name: make(paths[name]) for name in missing})
    except OSError as error:
        module.fail_json(msg=f"Cannot create a token: {error}")
    module.exit_json(changed=bool(missing), tokens=tokens)


if __name__ == "__main__":
    main()
