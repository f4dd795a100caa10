# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes and notes that several modules have in common. A module that differs in one of them says so in its own C(attributes)."""

from __future__ import annotations


class ModuleDocFragment:
    """Named in C(extends_documentation_fragment) of the modules."""

    # Of modules that change a host.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: Shows the state before and after the change.
    support: full
"""

    # Of modules that change a host and show no difference.
    NO_DIFF = r"""
options: {}
attributes:
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: The module has no diff to show.
    support: none
"""

    # Of modules that only read.
    READ = r"""
options: {}
attributes:
  check_mode:
    description: The module changes nothing, so it does the same in check mode.
    support: full
  diff_mode:
    description: The module has no diff to show.
    support: none
"""

    # Of modules that are no interface for users.
    INTERNAL = r"""
options: {}
notes:
  - This module is for the roles of this collection. Its options and results may change in any release.
"""
