# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's proxy: how hosts without a route of their own reach the world, and what they reach without it."""

from __future__ import annotations

import ipaddress
import re

from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping
from urllib.parse import urlsplit

from ... import values
from ...errors import HIDDEN, Bad, PlanError, shown

PASSWORD = "host_proxy_password"
# Beside these a host reaches itself by its own address.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"\.?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_USER = re.compile(r"[!-9;-~]{1,255}")


@dataclass(frozen=True)
class Proxy:
    """C(http) and C(https) are the addresses of the proxies for those, C(no_proxy) what is reached without, C(username) empty where they ask for none.

    The password is no part of the plan.
    """

    http: str = ""
    https: str = ""
    no_proxy: tuple[str, ...] = field(default=())
    username: str = ""

    def __bool__(self) -> bool:
        return bool(self.http or self.https)

    def to_dict(self) -> dict[str, Any] | None:
        """What the roles read; None without a proxy."""
        if not self:
            return None
        return {"http": self.http, "https": self.https, "no_proxy": list(self.no_proxy), "username": self.username}


def address(value: Any) -> str:
    """The address of a proxy, without user, password and path; empty for none."""
    text = values.text(value).rstrip("/")
    if not text:
        return ""
    form = "write it like http://proxy.example:3128"
    if "@" in text:
        fix = f"{form}; the user is host_proxy_username, the password host_proxy_password"
        raise Bad("a user or a password stands in it, and addresses are read by many", fix)
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise Bad("this is no address", form) from error
    if parts.scheme not in ("http", "https"):
        raise Bad(f"proxies are reached by http or https, and this is {parts.scheme or 'neither'}", form)
    if not host or port is None or parts.path or parts.query or parts.fragment or not re.fullmatch(r"[\w.:-]+", host, re.ASCII):
        raise Bad("a proxy's address has a host and a port, and nothing else", form)
    return text


def no_proxy(value: Any) -> tuple[str, ...]:
    """Hosts, domains with a dot before them, addresses and networks that are reached without the proxy: a list, or text with commas as others write it."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    found = values.texts(items)
    for item in found:
        if not _HOST.fullmatch(item) and not _is_network(item):
            raise Bad(f"{shown(item)} is neither a host, a domain, an address nor a network", "write a list like [mirror.example, .corp.example, 10.0.0.0/8]")
    return found


def username(value: Any) -> str:
    """The user that the proxy asks for; empty for none."""
    text = values.text(value)
    if text and not _USER.fullmatch(text):
        raise Bad("it holds a colon, white space or a letter beyond ASCII", "write the user's name alone; the password is host_proxy_password")
    return text


def password_errors(host: str, value: Any) -> list[PlanError]:
    """What is wrong with the password, which is never quoted."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value:
        return []
    why = "it is no text, or holds white space, a line break (as what `echo` hands to ansible-vault ends with) or a letter beyond ASCII"
    return [PlanError(host, "", PASSWORD, HIDDEN, why, 'encrypt it without: printf %s "$SECRET" | ansible-vault encrypt_string --stdin-name host_proxy_password')]


def of_variables(variables: Mapping[str, Any], inventory: Iterable[str]) -> dict[str, Any] | None:
    """The proxy that a host's variables name, for what is asked before there is a plan; None without one, or with one that cannot be used.

    :param inventory: names and addresses of all hosts, which are reached without it
    """
    try:
        http, https = (address(variables.get(name, "")) for name in ("host_http_proxy", "host_https_proxy"))
        near = (*LOOPBACK, *no_proxy(variables.get("host_no_proxy", [])), *inventory)
        return Proxy(http, https or http, tuple(dict.fromkeys(near)), username(variables.get("host_proxy_username", ""))).to_dict()
    except Bad:
        # Told of as an error of the setting.
        return None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def host_of(place: str) -> str:
    """The host of an address; empty where it has none."""
    try:
        return urlsplit(place).hostname or ""
    except ValueError:
        return ""


def proxy_of(settings: Any, own: Iterable[str], peers: Iterable[str], places: Iterable[str], inventory: frozenset[str]) -> Proxy:
    """The proxy of a host. What it reaches without is itself, the hosts that it works with, and what of the inventory's hosts it takes things from.

    :param own: the host's own names and addresses
    :param peers: addresses of hosts that it serves together with, or copies weights from
    :param places: addresses that it takes things from: endpoints, package indexes
    :param inventory: names and addresses of all hosts
    """
    http = settings.host_http_proxy
    https = settings.host_https_proxy or http
    near = [host for host in map(host_of, places) if host in inventory]
    names = [*LOOPBACK, *own, *peers, *near, *settings.host_no_proxy]
    return Proxy(http, https, tuple(dict.fromkeys(name for name in names if name)), settings.host_proxy_username)
