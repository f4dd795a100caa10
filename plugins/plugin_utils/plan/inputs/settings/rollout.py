# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(model_service_max_unavailable): how many replicas of a service may be unavailable at the same time, as a number or as a percentage.
C(model_service_update_strategy): how a service changes on its host.

The name and the rounding (down) are those of Kubernetes' rolling updates; at least one replica changes at a time.
"""

from __future__ import annotations

import re

from typing import Any

from ...errors import InvalidValue

RECREATE, BLUE_GREEN = "recreate", "blue_green"
_NUMBER = re.compile(r"[1-9]\d{0,4}")
_PERCENTAGE = re.compile(r"([1-9]\d?|100)%")


def max_unavailable(value: Any) -> str:
    """Read the setting. Raises InvalidValue."""
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not (_NUMBER.fullmatch(text) or _PERCENTAGE.fullmatch(text)):
        raise InvalidValue("this is neither a number of replicas from 1 on nor a percentage of them", "write a number, such as 1, or a percentage, such as 25%")
    return text


def update_strategy(value: Any) -> str:
    """Read the setting. Raises InvalidValue."""
    if value not in (RECREATE, BLUE_GREEN):
        raise InvalidValue(
            "there is no such strategy",
            f"write {RECREATE} (the service restarts) or {BLUE_GREEN} (its new engine starts beside the old one and takes over when it has passed)",
        )
    return str(value)
