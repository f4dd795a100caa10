# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options about services that several modules share: parts of their argument specifications."""

from __future__ import annotations

import typing as t

Options = t.Dict[str, t.Any]

UNIT: Options = {"unit": {"type": "str", "required": True}, "environment_file": {"type": "path", "required": True}}

API: Options = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "model": {"type": "str", "required": True},
    "task": {"type": "str", "default": "auto"},
    "api_key": {"type": "str", "no_log": True},
}


def services(*parts: Options) -> Options:
    """Return the option C(services): a list of dictionaries with all of these options."""
    return {"type": "list", "elements": "dict", "required": True, "options": {name: about for part in parts for name, about in part.items()}}
