# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in vLLM itself: certificate and key, and the name in the certificate."""

from __future__ import annotations

import ipaddress
import re

from typing import Iterator

from .. import values
from ..errors import InvalidValue, PlanError, shown
from ..host import tls
from ..placement.draft import HostDraft
from .base import check

# Where certbot and acme.sh store certificates, in directories with the name of the certificate.
_NAMED_FOLDER = re.compile(r"/(?:etc/letsencrypt/live|\.acme\.sh)/(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]+)/")


@check()
def tls_settings_are_valid(host: HostDraft) -> Iterator[PlanError]:
    """A key has a certificate, paths of both are absolute, and clients need no certificates of their own."""
    for draft in host.services:
        found = tls.files(draft)
        if "ssl_keyfile" in found and "ssl_certfile" not in found:
            why = "ssl_certfile for this key is missing"
            fix = "add ssl_certfile, the certificate with its chain"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_keyfile", shown(found["ssl_keyfile"]), why, fix)
        for key, path in found.items():
            try:
                values.path(path)
            except InvalidValue as bad:
                yield PlanError(host.name, draft.label, f"vllm_args.{key}", shown(path), bad.why, bad.fix)
        required = draft.given.get("ssl_cert_reqs")
        if tls.is_used(draft) and str(required) == "2":
            why = "vLLM would require a certificate from every client, so the health gate could not connect"
            fix = "remove it or write 1, and let a proxy in front of the service verify client certificates"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_cert_reqs", "2", why, fix)


@check()
def tls_server_name_is_known(host: HostDraft) -> Iterator[PlanError]:
    """The name in the certificate is known: the host's address in the inventory where that is a name, else tls_server_name."""
    for draft in host.services:
        name = draft.service.tls_server_name
        if name is not None and not tls.is_used(draft):
            why = "the service has no certificate: its vllm_args have no ssl_certfile"
            yield PlanError(host.name, draft.label, "tls_server_name", shown(name), why, "remove it, or add ssl_certfile and ssl_keyfile to vllm_args")
        elif name is None and tls.is_used(draft) and draft.answers and host.settings.verify_certificates and _is_number(host.address):
            path = tls.files(draft).get("ssl_certfile", "")
            folder = _NAMED_FOLDER.search(path)
            why = f"the name in this certificate is unknown, and {host.address}, the host's address in the inventory, is an IP address"
            fix = f"add the name to the service: tls_server_name: {folder['name'] if folder else '<name in the certificate>'}"
            yield PlanError(host.name, draft.label, "vllm_args.ssl_certfile", shown(path), why, fix)


def _is_number(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False
