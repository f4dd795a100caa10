# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in vLLM itself: the files that it reads, how a service gets them, and the name in the certificate.

Only root can read the keys in /etc/letsencrypt/live, and each service runs under its own account. So systemd passes the files as credentials of
the unit (LoadCredential= in systemd.exec(5)): copies from each start, which only the unit can read. With enable_ssl_refresh vLLM reloads a renewed
certificate, and has to read the original files.
"""

from __future__ import annotations

from typing import Any

from ..placement.draft import HostDraft, ServiceDraft

# Arguments that name a file.
FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
ARGUMENTS = (*FILES, "enable_ssl_refresh", "ssl_cert_reqs", "ssl_ciphers")


def is_used(draft: ServiceDraft) -> bool:
    """Whether the service's API uses TLS: uvicorn does with either of the two files."""
    return any(draft.given.get(key) for key in ("ssl_certfile", "ssl_keyfile"))


def files(draft: ServiceDraft) -> dict[str, str]:
    """The files in a service's arguments, by argument."""
    return {key: str(draft.given[key]) for key in FILES if draft.given.get(key)}


def are_copied(draft: ServiceDraft) -> bool:
    """Whether systemd passes copies of the files, so that the service's account does not need to read the originals."""
    return str(draft.given.get("enable_ssl_refresh")).lower() != "true"


def arguments(draft: ServiceDraft) -> dict[str, str]:
    """The arguments with the paths for the command line."""
    if not are_copied(draft):
        return files(draft)
    return {key: f"{_credentials(draft.service.unit)}{key}" for key in files(draft)}


def _credentials(unit: str) -> str:
    """The directory of a unit's credentials; systemd before 250 does not expand its variable in arguments."""
    return f"/run/credentials/{unit}/"


def with_credentials_of(word: str, unit: str, other: str) -> str:
    """A word of a service's command line, for another unit of the service."""
    return word.replace(_credentials(unit), _credentials(other))


def to_dict(host: HostDraft, draft: ServiceDraft) -> dict[str, Any] | None:
    """The TLS files of a service for the roles; None without TLS, and on hosts without the service's API.

    C(name) is the name in the certificate, C(unit) the unit that reads the files, C(copied) are the files that systemd passes as copies, by name, and
    C(read) the files that the service's account reads itself.
    """
    if not is_used(draft) or not draft.answers:
        return None
    found = files(draft)
    copied = are_copied(draft)
    return {
        "name": draft.service.tls_server_name or "",
        "unit": draft.service.unit,
        "copied": found if copied else {},
        "read": [] if copied else list(found.values()),
    }
