# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return the host library as one archive."""

from __future__ import annotations

DOCUMENTATION = """
name: host_library
short_description: Return the host library as one archive
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Returns what M(inferops.gpu.host_library) installs on a host.
  - For the roles of this collection.
options:
  _terms:
    description: None.
    type: list
    elements: str
"""

EXAMPLES = """
- name: Install the host library
  inferops.gpu.host_library:
    path: /opt/inferops/lib
    state_dir: /var/lib/inferops
    archive: "{{ query('inferops.gpu.host_library') | map(attribute='archive') | first }}"
"""

RETURN = """
_raw:
  description: One element with the library's C(digest) and its C(archive), a zip archive in base64.
  type: list
  elements: dict
"""

import base64

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.inferops.gpu.plugins.plugin_utils import host_library


class LookupModule(LookupBase):
    """Reads the library from the collection itself."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            files = host_library.read()
        except OSError as error:
            raise AnsibleLookupError(f"the host library can't be read on the controller: {error}") from error
        return [{"digest": host_library.digest(files), "archive": base64.b64encode(host_library.archive(files)).decode()}]
