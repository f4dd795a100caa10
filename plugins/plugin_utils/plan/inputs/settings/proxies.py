# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's proxy for hosts without direct internet access, and the hosts that they reach without it."""

from __future__ import annotations

import ipaddress
import re

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping
from urllib.parse import urlsplit

from ... import values
from ...errors import HIDDEN, InvalidValue, PlanError, shown

PASSWORD = "host_proxy_password"
# Names and addresses by which a host always reaches itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_USER = re.compile(r"[!-9;-~]{1,255}")


@dataclass(frozen=True)
class Proxy:
    """C(http) and C(https) are the addresses of the proxies, C(no_proxy) are the hosts reached without them, C(username) is empty without a user.

    The password is not part of the plan.
    """

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = field(default=())
    username: str = ""

    def __bool__(self) -> bool:
        return bool(self.http or self.https)

    def to_dict(self) -> dict[str, Any] | None:
        """The proxy for the roles; None without a proxy."""
        if not self:
            return None
        return {"http": self.http, "https": self.https, "no_proxy": list(self.no_proxy), "username": self.username}


def address(value: Any) -> str:
    """The address of a proxy, without user, password and path; may be empty."""
    text = values.string(value).rstrip("/")
    if not text:
        return ""
    form = "write it like http://proxy.example:3128"
    if "@" in text:
        fix = f"{form}; the user is host_proxy_username, the password host_proxy_password"
        raise InvalidValue("it contains a user or a password, and all users can read this address", fix)
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise InvalidValue("this is not an address", form) from error
    if parts.scheme not in ("http", "https"):
        raise InvalidValue(f"a proxy's address begins with http or https, and this one with {parts.scheme or 'neither'}", form)
    if not host or port is None or parts.path or parts.query or parts.fragment or not re.fullmatch(r"[\w.:-]+", host, re.ASCII):
        raise InvalidValue("a proxy's address has only a host and a port", form)
    return text


def no_proxy(value: Any) -> tuple[str, ...]:
    """Hosts, domains with a leading dot, addresses and networks that are reached without the proxy: a list, or text separated by commas."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    found = values.strings(items)
    for item in found:
        if not _HOST.fullmatch(item) and not _is_network(item):
            why = f"{shown(item)} is neither a host, a domain, an address nor a network"
            raise InvalidValue(why, "write a list like [mirror.example, .corp.example, 10.0.0.0/8]")
    return found


def username(value: Any) -> str:
    """The user for the proxy; may be empty."""
    text = values.string(value)
    if text and not _USER.fullmatch(text):
        raise InvalidValue("it contains a colon, white space or a non-ASCII character", "write only the user's name; the password is host_proxy_password")
    return text


def password_errors(host: str, value: Any) -> list[PlanError]:
    """The error in the password, which is never quoted; empty when there is none."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value:
        return []
    why = "it is not text, or it contains white space, a line break (which `echo` adds) or a non-ASCII character"
    fix = 'encrypt it without: printf %s "$SECRET" | ansible-vault encrypt_string --stdin-name host_proxy_password'
    return [PlanError(host, "", PASSWORD, HIDDEN, why, fix)]


def of_variables(variables: Mapping[str, Any], inventory: Iterable[str]) -> dict[str, Any] | None:
    """The proxy in a host's variables, for queries before the plan; None without one, or with an invalid one.

    :param inventory: names and addresses of all hosts, which are reached without the proxy
    """
    try:
        http, https = (address(variables.get(name, "")) for name in ("host_http_proxy", "host_https_proxy"))
        near = (*LOOPBACK, *no_proxy(variables.get("host_no_proxy", [])), *inventory)
        return Proxy(http, https or http, tuple(dict.fromkeys(near)), username(variables.get("host_proxy_username", ""))).to_dict()
    except InvalidValue:
        # The reader of the setting reports the error.
        return None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def host_of(place: str) -> str:
    """The host in a URL; empty without one."""
    try:
        return urlsplit(place).hostname or ""
    except ValueError:
        return ""


def proxy_of(settings: Any, own: Iterable[str], peers: Iterable[str], places: Iterable[str], inventory: frozenset[str]) -> Proxy:
    """The proxy of a host. It reaches itself, its peers, and hosts of the inventory that it downloads from without the proxy.

    :param own: the host's own names and addresses
    :param peers: addresses of nodes of its multi-node services, and of hosts that it copies weights from
    :param places: URLs that it downloads from: endpoints, package indexes
    :param inventory: names and addresses of all hosts
    """
    http = settings.host_http_proxy
    https = settings.host_https_proxy or http
    near = [host for host in map(host_of, places) if host in inventory]
    names = [*LOOPBACK, *own, *peers, *near, *settings.host_no_proxy]
    return Proxy(http, https, tuple(dict.fromkeys(name for name in names if name)), settings.host_proxy_username)
