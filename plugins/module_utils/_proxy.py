# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's proxy for programs: environment variables, and apt's own settings. A password is never on a command line."""

from __future__ import annotations

import contextlib
import os
import typing as t
import urllib.parse

# Options of modules that use the proxy; plugins/doc_fragments/options.py documents them.
OPTIONS: dict[str, dict[str, t.Any]] = {
    "proxy": {"type": "dict", "default": {}},
    "proxy_password": {"type": "str", "default": "", "no_log": True},
}


def environment(proxy: t.Mapping[str, t.Any] | None, password: str = "") -> dict[str, str]:
    """Return the variables from which curl, git, uv, pip and Python read the proxy; none without a proxy.

    :param proxy: C(http), C(https), C(no_proxy) and C(username), from the plan
    """
    if not proxy:
        return {}
    found = {f"{kind}_proxy": with_credentials(proxy[kind], proxy.get("username", ""), password) for kind in ("http", "https") if proxy.get(kind)}
    found["no_proxy"] = ",".join(proxy.get("no_proxy", ()))
    # curl reads http_proxy only in lower case, others prefer upper case.
    return {**found, **{name.upper(): value for name, value in found.items()}}


def with_credentials(address: str, username: str, password: str) -> str:
    """Return a proxy's address with a user and a password in it."""
    if not username:
        return address
    scheme, _separator, rest = address.partition("://")
    return f"{scheme}://{urllib.parse.quote(username, safe='')}:{urllib.parse.quote(password, safe='')}@{rest}"


def apply(proxy: t.Mapping[str, t.Any] | None, password: str = "") -> None:
    """Set the proxy for this process and its children."""
    os.environ.update(environment(proxy, password))


@contextlib.contextmanager
def used(proxy: t.Mapping[str, t.Any] | None, password: str = "") -> t.Iterator[None]:
    """Use the proxy in a context, unless the process has its own: the controller may be in another network than the hosts."""
    added = environment(proxy, password)
    if any(os.environ.get(name) for name in added if not name.lower().startswith("no_")):
        added = {}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def environment_file(proxy: t.Mapping[str, t.Any], password: str) -> str:
    """Return the text of a file for systemd's EnvironmentFile=, which a shell can also read."""
    lines = [f"{name}={value}" for name, value in sorted(environment(proxy, password).items())]
    return "\n".join(["# Managed by inferops.gpu (role host). How programs of this collection reach the world.", *lines, ""])


def apt_settings(proxy: t.Mapping[str, t.Any]) -> str:
    """Return apt's settings. They have no secrets, since every user's apt reads them."""
    lines = ["// Managed by inferops.gpu (role host)."]
    for kind in ("http", "https"):
        if proxy.get(kind):
            lines.append(f'Acquire::{kind}::Proxy "{proxy[kind]}";')
            lines += [f'Acquire::{kind}::Proxy::{name} "DIRECT";' for name in proxy.get("no_proxy", ()) if is_name(name)]
    return "\n".join([*lines, ""])


def is_name(name: str) -> bool:
    """Whether apt supports a name of no_proxy: only names of single hosts."""
    return not name.startswith((".", "*")) and not set(name) & set("/:*[]")


def apt_credentials(proxy: t.Mapping[str, t.Any], password: str) -> str:
    """Return an entry of apt_auth.conf(5) for each of the proxy's URLs; empty when it needs no user."""
    if not proxy.get("username"):
        return ""
    places = list(dict.fromkeys(proxy[kind] for kind in ("http", "https") if proxy.get(kind)))
    entries = [f"machine {place}/ login {proxy['username']} password {password}" for place in places]
    return "\n".join(["# Managed by inferops.gpu (role host).", *entries, ""])
