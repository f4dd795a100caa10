# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in vLLM itself: what it needs to be started, and to be asked by name."""

from __future__ import annotations

import ipaddress
import re

from typing import Iterator

from .. import values
from ..errors import Bad, PlanError, shown
from ..host import tls
from ..placement.draft import HostDraft
from .base import check

# Where certbot and acme.sh keep certificates, in folders named after them.
_NAMED_FOLDER = re.compile(r"/(?:etc/letsencrypt/live|\.acme\.sh)/(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]+)/")


@check()
def tls_settings_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """A certificate with its key, in files of which the paths are whole, and no client that would have to bring one of its own."""
    for draft in host.services:
        found = tls.files(draft)
        if "ssl_keyfile" in found and "ssl_certfile" not in found:
            why = "there is no ssl_certfile to this key"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_keyfile", shown(found["ssl_keyfile"]), why, "add ssl_certfile, the certificate with its chain")
        for key, path in found.items():
            try:
                values.path(path)
            except Bad as bad:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(path), bad.why, bad.fix)
        required = draft.given.get("ssl_cert_reqs")
        if tls.is_used(draft) and str(required) == "2":
            why = "with it vLLM asks a certificate of every client, of the health check on its own host too, and the service would never count as started"
            fix = "take it away, or write 1, and let a proxy in front of the service ask clients for theirs"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_cert_reqs", "2", why, fix)


@check()
def tls_server_name_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The controller verifies a certificate against a name: the host's address in the inventory, where that is one, or what the user says."""
    for draft in host.services:
        name = draft.service.tls_server_name
        if name is not None and not tls.is_used(draft):
            why = "the service has no certificate of its own: there is no ssl_certfile in its vllm_args"
            yield PlanError(host.name, draft.label, "tls_server_name", shown(name), why, "take it out, or add ssl_certfile and ssl_keyfile to vllm_args")
        elif name is None and tls.is_used(draft) and draft.answers and host.settings.verify_certificates and _is_number(host.address):
            path = tls.files(draft).get("ssl_certfile", "")
            folder = _NAMED_FOLDER.search(path)
            why = f"nothing says which name this certificate is for, and by {host.address}, the host's address in the inventory, hardly any is"
            fix = f"add the name to the service: tls_server_name: {folder['name'] if folder else '<name in the certificate>'}"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_certfile", shown(path), why, fix)


def _is_number(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False
