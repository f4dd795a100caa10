# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of each host and of each multi-node service.

All modules in this folder are searched for checks. A new check is a function with C(@check()) in one of them, or in a new file.
"""

from __future__ import annotations

import importlib
import os

from .base import Check, MultiNodeCheck, checks_in

# Modules whose errors come first, in this order. The other modules follow by name.
_FIRST = (
    "names", "credentials", "systems", "models", "releases", "variants", "engines", "argument_flags", "parsers", "environment", "argument_choices",
    "argument_values", "argument_needs", "platform", "repositories", "tls", "ports", "facts", "firewall", "firewall_host", "gpus", "orphaned_units", "nodes",
)


def _subjects() -> list[str]:
    """Names of the modules of this package that contain checks."""
    found = {name[:-3] for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py") and name not in ("__init__.py", "base.py")}
    return [name for name in _FIRST if name in found] + sorted(found - set(_FIRST))


_FOUND = [check for name in _subjects() for check in checks_in(importlib.import_module(f"{__name__}.{name}"))]
HOST_CHECKS: tuple[Check, ...] = tuple(check for check in _FOUND if isinstance(check, Check))
MULTI_NODE_CHECKS: tuple[MultiNodeCheck, ...] = tuple(check for check in _FOUND if isinstance(check, MultiNodeCheck))
