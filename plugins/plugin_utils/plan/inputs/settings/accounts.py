# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of each service, which separates services from each other: their processes, environments and caches."""

from __future__ import annotations

import hashlib
import re

from typing import Any

from ...errors import InvalidValue
from ...values import string

# Maximum length of account names on Linux (useradd(8)).
LONGEST = 32
_HASH_DIGITS = 8
# Leaves room for a short service name and a digest.
_PREFIX = re.compile(r"[a-z_][a-z0-9_-]{0,15}")
# Prefix of the comment of a service's account, as the host library writes it (_accounts.MARK).
MARK = "inferops service "


def prefix(value: Any) -> str:
    """The prefix of the names of services' accounts."""
    read = string(value)
    if not _PREFIX.fullmatch(read):
        raise InvalidValue("this is not a valid prefix of account names", "use up to 16 lower-case letters, digits, _ and -, beginning with a letter")
    return read


def account_name(begin: str, service: str) -> str:
    """The name of a service's account and group.

    A service's name may be too long for an account or have dots, which some tools refuse. Then the name ends in a digest after an underscore, which
    service names do not contain, so that no two services of a host have the same account.
    """
    plain = f"{begin}{service}"
    if len(plain) <= LONGEST and "." not in service:
        return plain
    digest = hashlib.sha256(service.encode()).hexdigest()[:_HASH_DIGITS]
    room = LONGEST - len(begin) - 1 - _HASH_DIGITS
    return f"{begin}{service.replace('.', '-')[:room]}_{digest}"
