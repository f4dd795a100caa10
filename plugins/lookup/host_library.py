# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return the host library as one archive."""

from __future__ import annotations

DOCUMENTATION = """
name: host_library
short_description: Return the host library as an archive, or its digest
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Returns the library that M(inferops.gpu.host_library) installs on a host.
  - This plugin is for the roles of this collection.
options:
  _terms:
    description: What to return, C(digest) or C(archive).
    type: list
    elements: str
    required: true
"""

EXAMPLES = """
- name: Install the host library
  inferops.gpu.host_library:
    path: /opt/inferops/lib
    state_dir: /var/lib/inferops
    archive: "{{ lookup('inferops.gpu.host_library', 'archive') }}"
"""

RETURN = """
_raw:
  description: The digest of the library, or the library as a base64-encoded zip archive.
  type: list
  elements: str
"""

import base64

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.inferops.gpu.plugins.plugin_utils import host_library


class LookupModule(LookupBase):
    """Reads the library from the collection itself."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            files = host_library.read()
        except OSError as error:
            raise AnsibleLookupError(f"the host library can't be read on the controller: {error}") from error
        wrong = [term for term in terms if term not in ("digest", "archive")]
        if wrong:
            raise AnsibleLookupError(f"{wrong[0]} is neither digest nor archive")
        return [host_library.digest(files) if term == "digest" else base64.b64encode(host_library.archive(files)).decode() for term in terms]
