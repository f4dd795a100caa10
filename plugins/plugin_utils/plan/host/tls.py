# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in vLLM itself: which files it reads, how they come to a service that may not open them, and by which name it is known.

Keys below /etc/letsencrypt/live are root's alone, and a service runs under an account of its own. So systemd hands the files over, as credentials
of the unit (LoadCredential= in systemd.exec(5)): copies made at each start, that only the unit can read. Where vLLM is to follow a renewed
certificate by itself (enable_ssl_refresh) it has to read the files where they lie.
"""

from __future__ import annotations

from typing import Any

from ..placement.draft import HostDraft, ServiceDraft

# Arguments that name a file.
FILES = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
ARGUMENTS = (*FILES, "enable_ssl_refresh", "ssl_cert_reqs", "ssl_ciphers")


def is_used(draft: ServiceDraft) -> bool:
    """Whether the service's API speaks TLS: uvicorn does so with either of the two."""
    return any(draft.given.get(key) for key in ("ssl_certfile", "ssl_keyfile"))


def files(draft: ServiceDraft) -> dict[str, str]:
    """The files that a service names, by their argument."""
    return {key: str(draft.given[key]) for key in FILES if draft.given.get(key)}


def are_copied(draft: ServiceDraft) -> bool:
    """Whether systemd hands the files over, so that who may read them does not matter."""
    return str(draft.given.get("enable_ssl_refresh")).lower() != "true"


def arguments(draft: ServiceDraft) -> dict[str, str]:
    """What the arguments that name a file say on the command line."""
    if not are_copied(draft):
        return files(draft)
    # Where systemd puts a unit's credentials; its variable for it is not for arguments in versions before 250.
    return {key: f"/run/credentials/{draft.service.unit}/{key}" for key in files(draft)}


def document(host: HostDraft, draft: ServiceDraft) -> dict[str, Any] | None:
    """What roles have to know of a service's TLS; None where it has none or answers on another host.

    C(name) is whose the certificate is, C(unit) the unit that reads the files, C(copied) those that systemd hands over, by name, and C(read) those
    that the service's account has to be able to read.
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
