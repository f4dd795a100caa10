# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find files on the controller that variables name."""

from __future__ import annotations

DOCUMENTATION = """
name: controller_file
short_description: Find files on the controller by the collection's search path
version_added: 0.1.0
author: inferops contributors (@inferops)
description:
  - Returns the absolute path of each file. An absolute path stays unchanged, and C(~) is the home directory.
  - The plugin searches for a relative path in the directory of the host's inventory, and then in the directory of the playbook. If that directory is
    C(playbooks), the plugin searches its parent too. In an AWX job, where the inventory is not a file of the project, it searches
    C(inventories/<name of the inventory>) of the project before the directory of the playbook.
options:
  _terms:
    description: Absolute or relative paths.
    type: list
    elements: str
    required: true
"""

EXAMPLES = """
- ansible.builtin.copy:
    src: "{{ lookup('inferops.gpu.controller_file', 'files/company-ca.crt') }}"
    dest: /usr/local/share/ca-certificates/company-ca.crt
    mode: "0644"
"""

RETURN = """
_raw:
  description: Absolute paths, in the order of the terms.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.inferops.gpu.plugins.plugin_utils.controller_files import NotFound, find, folders


class LookupModule(LookupBase):
    """Finds each term by the collection's search path for files on the controller."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        looked = folders(variables or {})
        found = []
        for term in terms:
            try:
                found.append(find(str(term), looked))
            except NotFound as error:
                raise AnsibleLookupError(f"{term}: {error}") from error
        return found
