#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_library
short_description: Install the programs that the collection's systemd units run
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Installs the host library in a directory named after a digest of its contents, and then switches to it atomically. A running program keeps using
    the library that it was started from.
  - Removes libraries that no running program uses, and programs of earlier versions that no unit calls any more.
options:
  path:
    description: Directory of the libraries.
    type: path
    required: true
  state_dir:
    description: Directory of the collection's state on the host.
    type: path
    required: true
  archive:
    description: The library as a base64-encoded zip archive, as P(inferops.gpu.host_library#lookup) returns it.
    type: str
    required: true
extends_documentation_fragment:
  - inferops.gpu.attributes
  - inferops.gpu.attributes.internal
"""

EXAMPLES = r"""
- name: Install the host library
  inferops.gpu.host_library:
    path: /opt/inferops/lib
    state_dir: /var/lib/inferops
    archive: "{{ lookup('inferops.gpu.host_library', 'archive') }}"
"""

RETURN = r"""
digest:
  description: Digest of the library that is now in force.
  returned: success
  type: str
removed:
  description: Libraries and earlier programs that were removed.
  returned: success
  type: list
  elements: str
"""

import base64
import hashlib
import io
import zipfile

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _library


def unpack(archive: str) -> dict[str, bytes]:
    """Return the files of an archive by their paths. Raises ValueError."""
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as file:
            found = {name: file.read(name) for name in file.namelist()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"not a zip archive: {error}") from error
    outside = [name for name in found if name.startswith("/") or ".." in name.split("/")]
    if outside or not found:
        raise ValueError(f"the archive contains {outside[0]}, a path outside of it" if outside else "the archive is empty")
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
            # Not a secret, but too long for the logs.
            "archive": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    removed: list[str] = []
    try:
        files = unpack(module.params["archive"])
        wanted = _library.digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
        before = _library.in_force(path)
        if before != wanted and not module.check_mode:
            _library.install(path, files)
            removed = _library.prune(path, module.params["state_dir"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"The host library cannot be installed in {path}: {error}. Make sure that the disk has free space and is writable.")
    module.exit_json(
        changed=before != wanted, digest=wanted, removed=removed,
        diff={"before": f"{before}\n" if before else "", "after": f"{wanted}\n", "before_header": path, "after_header": path},
    )


if __name__ == "__main__":
    main()
