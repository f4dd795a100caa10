# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules have in common. The specification of each stands beside the code that reads it."""

from __future__ import annotations


class ModuleDocFragment:
    """Named in C(extends_documentation_fragment) of the modules."""

    # Specification: OPTIONS of module_utils/_proxy.py.
    PROXY = r"""
options:
  proxy:
    description: The proxy as C(http), C(https), C(no_proxy) and C(username), in the form of the plan. Empty for no proxy.
    type: dict
    default: {}
  proxy_password:
    description: Password of the proxy's user.
    type: str
    default: ""
"""
