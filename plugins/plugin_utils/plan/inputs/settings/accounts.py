# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of each service, by which the kernel keeps services from each other: their processes, environments and caches."""

from __future__ import annotations

import hashlib
import re

from typing import Any

from ...errors import Bad
from ...values import text

# Linux takes no longer names (useradd(8)).
LONGEST = 32
_HASH_DIGITS = 8
# What a short name of a service and a digest have room beside.
_PREFIX = re.compile(r"[a-z_][a-z0-9_-]{0,15}")
# Begins the comment of an account that was made for a service, as the host's own code writes it (_accounts.MARK).
MARK = "inferops service "


def prefix(value: Any) -> str:
    """What the names of the services' accounts begin with."""
    read = text(value)
    if not _PREFIX.fullmatch(read):
        raise Bad("no names of accounts can begin so", "use up to 16 lower-case letters, digits, _ and -, beginning with a letter")
    return read


def account_name(begin: str, service: str) -> str:
    """The name of a service's account, which is its group's too.

    A service's name may be longer than an account's, and have dots, which not every tool takes in an account's. Then a digest stands for what is
    changed, after a letter that no service's name has: so no two services of a host have one account.
    """
    plain = f"{begin}{service}"
    if len(plain) <= LONGEST and "." not in service:
        return plain
    digest = hashlib.sha256(service.encode()).hexdigest()[:_HASH_DIGITS]
    room = LONGEST - len(begin) - 1 - _HASH_DIGITS
    return f"{begin}{service.replace('.', '-')[:room]}_{digest}"
