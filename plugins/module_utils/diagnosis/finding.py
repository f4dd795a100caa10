# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of the doctor reports: a finding with its cause and the next command, or that something could not be read."""

from __future__ import annotations

import typing as t

from .._http_client import one_line

ERROR = "error"
WARNING = "warning"
# Limits in characters of a cause and of its details: both may quote a program or a file.
CAUSE = 600
DETAIL = 2000


class Finding(t.NamedTuple):
    """One cause. C(check) is its stable name (docs/doctor.md), C(level) C(ERROR) or C(WARNING), C(command) the command to run next on the host.

    C(service) is empty for a finding about the host. C(detail) is more text for the JSON, or empty.
    """

    check: str
    level: str
    cause: str
    command: str
    service: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, t.Any]:
        """Return the finding as JSON types. Its texts are printable lines without secrets of known forms."""
        return {
            "check": self.check, "level": self.level, "service": self.service or None, "cause": one_line(self.cause, limit=CAUSE),
            "command": one_line(self.command, limit=CAUSE), "detail": one_line(self.detail, limit=DETAIL),
        }


class Unknown(t.NamedTuple):
    """What a check could not read (C(what)), and why."""

    what: str
    reason: str


Result = t.Iterator[t.Union[Finding, Unknown]]


def error(check: str, cause: str, command: str, service: str = "", detail: str = "") -> Finding:
    """Return a finding that breaks a service, or will."""
    return Finding(check, ERROR, cause, command, service, detail)


def warning(check: str, cause: str, command: str, service: str = "", detail: str = "") -> Finding:
    """Return a finding that costs performance or safety, or may become an error."""
    return Finding(check, WARNING, cause, command, service, detail)
