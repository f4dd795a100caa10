# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the role monitoring that the plan reads."""

from __future__ import annotations

import re

from typing import Any

from ... import values
from ...errors import InvalidValue

PRESENT, ABSENT = "present", "absent"
PORT = values.integer(1, 65535)
# 0 is none.
OPTIONAL_PORT = values.integer(0, 65535)
# The shortest windows of the rules are 5 minutes (InferopsCollectorOld, rates), and have to contain several values.
SCRAPE_SECONDS = values.integer(5, 60)
COLLECTOR_SECONDS = values.integer(10, 60)
_CLUSTER = re.compile(r"[^\s\\\"{}]{1,100}")


def state(value: Any) -> str:
    """Whether monitoring is installed (C(present)) or removed (C(absent))."""
    read = values.string(value)
    if read not in (PRESENT, ABSENT):
        raise InvalidValue("there is no such state", "write present or absent")
    return read


def cluster(value: Any) -> str:
    """The label C(cluster) of all targets."""
    read = values.string(value)
    if not _CLUSTER.fullmatch(read):
        raise InvalidValue("this is not a usable label", "write one word, such as the inventory's name")
    return read


def target_address(value: Any) -> str:
    """The address of a host for Prometheus: a name or an IP address; may be empty."""
    read = values.string(value)
    if re.search(r"[/\s@\"]", read):
        raise InvalidValue("this is not an address", "write an IP address or a host name, without a scheme and a port")
    return read
