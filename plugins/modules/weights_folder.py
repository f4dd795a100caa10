#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: weights_folder
short_description: Check that a directory with pre-staged weights exists
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Checks that a directory contains a model's files, and that the expected file system is mounted. Reads only file names and changes nothing.
  - Does not verify the contents of the files. The role P(inferops.gpu.weights#role) does, by their hashes.
options:
  path:
    description: The directory.
    type: path
    required: true
  mount:
    description: Mount point that has to be mounted. Empty for none.
    type: str
    default: ""
  model:
    description: Whether the directory has to contain a complete model. V(false) is for other files, such as an adapter or a tokenizer.
    type: bool
    default: true
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Check that the model exists
  inferops.gpu.weights_folder:
    path: /mnt/models/qwen3-0.6b
    mount: /mnt/models
"""

RETURN = r"""
weight_files:
  description: Number of weight files in the directory.
  returned: success
  type: int
"""

import os

from ansible.module_utils.basic import AnsibleModule

# Formats that vLLM loads weights from.
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


def error_of(path: str, mount: str, model: bool = True) -> str:
    """Return what is wrong with a folder and the fix, or nothing."""
    if mount and not os.path.ismount(mount):
        return f"nothing is mounted at {mount}. Mount it, and configure the mount for each boot."
    if not os.path.isdir(path):
        return f"{path} does not exist. Copy the model's files to it, or correct weights_path, model or revision."
    if not model:
        return "" if os.listdir(path) else f"{path} is empty. Copy the files of the repository to it."
    if not os.path.isfile(os.path.join(path, "config.json")):
        return f"{path} has no config.json{'' if os.listdir(path) else ' (it is empty)'}. Copy the model's files to it, named as on the Hub."
    return "" if count(path) else f"{path} has no weights ({', '.join(ENDINGS)})."


def count(path: str) -> int:
    """Return how many files of weights a folder has."""
    return sum(1 for name in os.listdir(path) if name.endswith(ENDINGS))


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "mount": {"type": "str", "default": ""}, "model": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        found = error_of(path, module.params["mount"], module.params["model"])
        weight_files = 0 if found else count(path)
    except OSError as error:
        found, weight_files = f"cannot read {path}: {error.strerror}.", 0
    if found:
        module.fail_json(msg=f"{found} Nothing was changed.")
    module.exit_json(changed=False, weight_files=weight_files)


if __name__ == "__main__":
    main()
