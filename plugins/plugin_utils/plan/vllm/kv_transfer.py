# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(kv_transfer_config) of a service with C(disaggregation): the plan's connector and role, and what the user adds to them."""

from __future__ import annotations

import json

from typing import Any, Mapping

KEY = "kv_transfer_config"
CONNECTOR, ROLE = "kv_connector", "kv_role"
NIXL = "NixlConnector"


def with_role(given: Mapping[str, Any], role: str | None) -> dict[str, Any]:
    """The arguments with the connector and the role, over which the user's own members go; unchanged without a role.

    :param role: kv_producer or kv_consumer. NixlConnector of older versions ignores it; since 0.32 it warns of kv_both.
    """
    if role is None:
        return dict(given)
    own = given.get(KEY)
    if isinstance(own, str):
        try:
            own = json.loads(own)
        except (ValueError, RecursionError):
            return dict(given)
    if own is not None and not isinstance(own, Mapping):
        return dict(given)
    return {**given, KEY: {CONNECTOR: NIXL, ROLE: role, **(own or {})}}
