# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS certificates of services: how long they are valid, for which name, and whether the service can read them."""

from __future__ import annotations

import os
import re
import ssl
import time
import typing as t

from .. import _reading
from .commands import Unread, is_installed, output
from .context import Context
from .finding import Result, Unknown, error, warning
from .units import Unit

# Seconds before the end of a certificate from which on it is reported: Let's Encrypt renews 30 days before.
SOON = 21 * 86400
_COPIED = re.compile(r"^LoadCredential=(ssl_\w+):(/.+)$", re.MULTILINE)
_READ = re.compile(r'"?--ssl-(certfile|keyfile|ca-certs)=([^"\s]+)')
_KEYS = {"certfile": "ssl_certfile", "keyfile": "ssl_keyfile", "ca-certs": "ssl_ca_certs"}


def check(context: Context) -> Result:
    """The files of each unit whose API uses TLS."""
    for unit in context.units:
        copied = {name: path.strip() for name, path in _COPIED.findall(unit.text)}
        read = {_KEYS[name]: path for name, path in _READ.findall(unit.text) if not path.startswith("/run/credentials/")}
        for path in copied.values():
            if not os.path.isfile(path):
                yield error("certificate-unreadable", f"{path} does not exist, so {unit.name} cannot start", f"ls -l {path}", unit.service)
        for path in read.values():
            yield from _as_account(unit, path)
        path = {**read, **copied}.get("ssl_certfile", "")
        text = _reading.read_text(path) if path else ""
        if "BEGIN CERTIFICATE" in text:
            yield from judge(unit.service, unit.name, path, text, context.of(unit.service).names, time.time())
        elif path and os.path.isfile(path):
            yield error("certificate-unreadable", f"{path} has no certificate in PEM format", f"openssl x509 -in {path} -noout -dates", unit.service)


def _as_account(unit: Unit, path: str) -> Result:
    """Whether the service's account can read a file that the engine opens itself."""
    user = unit.get("User")
    if not user or not is_installed("setpriv") or os.geteuid() != 0:
        return
    try:
        output("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", "test", "-r", path)
    except Unread:
        cause = f"the account {user} of {unit.name} cannot read {path}"
        yield error("certificate-unreadable", cause, f"namei -l {path}", unit.service)


def judge(service: str, unit: str, path: str, text: str, names: t.Sequence[str], now: float) -> Result:
    """Compare a certificate (the first one of a PEM text) with the time, in seconds since 1970, and with the names that clients use."""
    look = f"openssl x509 -in {path} -noout -dates -subject -ext subjectAltName"
    try:
        dates = dict(line.partition("=")[::2] for line in output("openssl", "x509", "-noout", "-dates", given=text).splitlines())
        first, last = ssl.cert_time_to_seconds(dates["notBefore"]), ssl.cert_time_to_seconds(dates["notAfter"])
    except (Unread, KeyError, ValueError) as problem:
        yield Unknown(f"the certificate of {service}", str(problem))
        return
    days = (last - now) / 86400
    if days < 0:
        yield error("certificate-expired", f"the certificate {path} of {unit} expired on {dates['notAfter']}", look, service)
    elif first > now:
        yield error("certificate-expired", f"the certificate {path} of {unit} is not valid before {dates['notBefore']}", look, service)
    elif last - now < SOON:
        yield warning("certificate-expires", f"the certificate {path} of {unit} expires in {days:.0f} days, on {dates['notAfter']}", look, service)
    for name in names:
        option = "-checkip" if re.fullmatch(r"[\d.]+|.*:.*", name) else "-checkhost"
        try:
            said = output("openssl", "x509", "-noout", option, name, given=text, status=(0, 1))
        except Unread as problem:
            yield Unknown(f"the name in the certificate of {service}", str(problem))
            continue
        if "does NOT match" in said:
            cause = f"the certificate {path} of {unit} is not for {name}, by which clients reach the service"
            yield error("certificate-name", cause, look, service)
