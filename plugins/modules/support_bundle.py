#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: support_bundle
short_description: Collect what a maintainer asks for in one archive without secrets
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Writes an archive with the journals and units of the managed services, logs of failures, versions, GPUs, network, disks and kernel of a host.
  - Reads every secret of the host, and replaces it in each file, also in base64 and URL-encoded. Then it searches the finished archive again. If a
    secret is left, it removes the archive and fails.
  - Builds the archive in a new directory that only root may enter. The caller fetches the archive and removes the directory. A run removes directories
    that an interrupted run has left more than an hour ago.
  - The playbook C(playbooks/bundle.yml) uses this module.
options:
  name:
    description: Name of the archive, without C(.tar.gz), and of the directory in it.
    type: str
    required: true
  documents:
    description: Further texts for the archive, base64-encoded, by their name.
    type: dict
    default: {}
  secrets:
    description: Secrets that the controller knows, in addition to those that the module finds on the host.
    type: list
    elements: str
    default: []
  lines:
    description: Number of journal lines of each unit.
    type: int
    default: 5000
  max_bytes:
    description: Limit for the size of all files in the archive together, before compression, in bytes. The most important files come first.
    type: int
    default: 100000000
  config_dir:
    description: Directory of environment files, tokens and credentials.
    type: path
    default: /etc/inferops
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    default: /var/lib/inferops
  home:
    description: Home directory of the account that downloads.
    type: path
    default: /var/lib/inferops
  install_dir:
    description: Installation directory of tools and programs.
    type: path
    default: /opt/inferops
  releases_dir:
    description: Directory of releases.
    type: path
    default: /opt/inferops/releases
extends_documentation_fragment:
  - inferops.gpu.attributes.read
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Collect a support bundle
  inferops.gpu.support_bundle:
    name: gpu1-support
  register: bundle

- name: Copy it to the controller
  ansible.builtin.fetch:
    src: "{{ bundle.path }}"
    dest: ./gpu1-support.tar.gz
    flat: true

- name: Remove it from the host
  ansible.builtin.file:
    path: "{{ bundle.folder }}"
    state: absent
"""

RETURN = r"""
folder:
  description: The new directory.
  returned: success
  type: str
path:
  description: The archive in it.
  returned: success
  type: str
size:
  description: Size of the archive in bytes.
  returned: success
  type: int
sha256:
  description: sha256 of the archive.
  returned: success
  type: str
members:
  description: Number of files in the archive. C(MANIFEST.txt) lists them with their sizes and sha256.
  returned: success
  type: int
missing:
  description: Files that the archive does not have since they could not be read, with the reason.
  returned: success
  type: dict
left_out:
  description: Files that the archive does not have because of O(max_bytes).
  returned: success
  type: dict
searched:
  description: Number of different secrets that the module searched for.
  returned: success
  type: int
"""

import base64
import os
import re
import shutil

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import bundle
from ..module_utils.bundle import archive, secrets
from ..module_utils.diagnosis.commands import Unread

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            # Not secret, but long: the host's log is not the place for them.
            "documents": {"type": "dict", "default": {}, "no_log": True},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "lines": {"type": "int", "default": 5000},
            "max_bytes": {"type": "int", "default": 100000000},
            "config_dir": {"type": "path", "default": "/etc/inferops"},
            "state_dir": {"type": "path", "default": "/var/lib/inferops"},
            "home": {"type": "path", "default": "/var/lib/inferops"},
            "install_dir": {"type": "path", "default": "/opt/inferops"},
            "releases_dir": {"type": "path", "default": "/opt/inferops/releases"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not _NAME.fullmatch(given["name"]):
        module.fail_json(msg="name has characters that a file name should not have. Fix: use letters, digits, dots, dashes and underscores.")
    if os.geteuid() != 0:
        module.fail_json(msg="Only root can read the host's secrets, which the bundle must not have. Fix: run the task with become: true.")
    texts = {name: base64.b64decode(text).decode() for name, text in given["documents"].items()}
    wanted = bundle.Wanted(
        given["name"], texts, given["secrets"], secrets.Directories(given["config_dir"], given["state_dir"], given["home"]),
        given["install_dir"], given["releases_dir"], given["lines"], given["max_bytes"],
    )
    folder = archive.make_folder()
    try:
        made = bundle.make(wanted, folder)
    except archive.SecretFound as found:
        shutil.rmtree(folder, ignore_errors=True)
        module.fail_json(msg=f"A secret was left in {found} of the bundle, so the bundle was removed. Please report this as a bug, without the secret.")
    except (OSError, Unread) as problem:
        shutil.rmtree(folder, ignore_errors=True)
        module.fail_json(msg=f"The bundle could not be written: {problem}. Nothing of it is left on the host.")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    module.exit_json(changed=False, folder=folder, searched=made.pop("secrets"), **made)


if __name__ == "__main__":
    main()
