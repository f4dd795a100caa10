# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: each is looked at before anything is done, for its form alone, and never shown. What passes here can go into a header and a file.

http.client puts a header into latin-1 and refuses line breaks by an error that quotes all of it, so that a token with the line break that
C(echo) adds would end in clear text on the screen.
"""

from __future__ import annotations

import re

from typing import Any, Mapping

from .. import values
from ..errors import HIDDEN, Bad, PlanError, kind, shown

LONGEST = 4096
# Letters that all nodes of a service can show each other, and how many of them at least (roles/multi_node).
SHORTEST_RAY_TOKEN = 32

INDEX_CREDENTIALS = "host_index_credentials"

_PRINTABLE = re.compile(r"[!-~]+")
# What the readers of a netrc file (curl, uv, pip, Python) take differently: quotes, escapes and comments.
_NETRC = re.compile(r"[!$-&(-\[\]-~][!#-&(-\[\]-~]*")
_MACHINE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_VAULT = "printf %s \"$SECRET\" | ansible-vault encrypt_string --stdin-name"


def header(value: Any, name: str = "the_variable") -> str:
    """A secret that goes into an HTTP header: printable ASCII without white space.

    :raises Bad: with a reason and a fix that quote nothing of it
    """
    if not isinstance(value, str):
        raise Bad(f"this is {kind(value)} where text belongs", "write it as text, in quotes")
    if not value.strip():
        raise Bad("it is empty, or nothing but white space", "write the secret, or take the variable out")
    if value != value.strip():
        ends = "it ends with a line break, as what `echo` hands to ansible-vault does" if value.endswith("\n") else "white space stands before or after it"
        raise Bad(ends, f"encrypt it without: {_VAULT} {name}")
    if len(value) > LONGEST or not _PRINTABLE.fullmatch(value):
        why = f"it goes into a header, and holds white space, a control character, a letter beyond ASCII, or more than {LONGEST} of them"
        raise Bad(why, "use letters, digits and punctuation of ASCII alone, like what `openssl rand -hex 32` makes")
    return value


def multi_node_token(value: Any, name: str = "multi_node_token") -> str:
    """The token of services over several hosts."""
    read = header(value, name)
    if len(read) < SHORTEST_RAY_TOKEN:
        raise Bad(f"it is shorter than {SHORTEST_RAY_TOKEN} letters", "make one with `openssl rand -hex 32`, and keep it in a vault")
    return read


def environment_value(value: Any, name: str) -> str | None:
    """A value of secret_environment, as C(environment) has it; None takes the variable away.

    :raises Bad: with a reason and a fix that quote nothing of it
    """
    if value is None:
        return None
    if isinstance(value, str) and value.rstrip("\r\n") != value and value.rstrip("\r\n").isprintable():
        raise Bad("it ends with a line break, as what `echo` hands to ansible-vault does", f"encrypt it without: {_VAULT} {name}")
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        why = "it has more than one line, and an environment file has one for each variable"
        raise Bad(why, "keep it in a file on the host that the account of the services may read, and name that file here; or encode it with base64")
    return values.environment_value(value)


# Variables of hosts that are secrets, and the reader of each. Empty text is no secret: it says that there is none.
_READERS = {
    "weights_token": header,
    "weights_credential_token": header,
    "model_service_credential_api_key": header,
    "multi_node_token": multi_node_token,
}

VARIABLES: tuple[str, ...] = (*_READERS, INDEX_CREDENTIALS)


def check(host: str, variables: Mapping[str, Any]) -> list[PlanError]:
    """The errors of a host's secrets. None of them quotes a value."""
    errors = []
    for name, reader in _READERS.items():
        value = variables.get(name, "")
        if value == "":
            continue
        try:
            if value is None:
                raise Bad("this is nothing (null) where text belongs", 'write "" where there is none, or take the variable out')
            reader(value, name)
        except Bad as bad:
            errors.append(PlanError(host, "", name, HIDDEN, bad.why, bad.fix))
    return [*errors, *_check_credentials(host, variables.get(INDEX_CREDENTIALS, {}))]


def _check_credentials(host: str, raw: Any) -> list[PlanError]:
    """Users and passwords of package indexes, by the name of the index's host."""
    form = "write it as <name of the index's host>: {user: ..., password: ...} lines"
    if not isinstance(raw, Mapping):
        return [PlanError(host, "", INDEX_CREDENTIALS, HIDDEN, f"this is {kind(raw)} where a dictionary belongs", form)]
    errors = []
    for machine, pair in raw.items():
        key = f"{INDEX_CREDENTIALS}.{shown(str(machine))}"
        if not isinstance(machine, str) or not _MACHINE.fullmatch(machine):
            why = "this is not the name of a host: no scheme, port or path belongs to it"
            errors.append(PlanError(host, "", f"{INDEX_CREDENTIALS} key", HIDDEN, why, form))
        elif not isinstance(pair, Mapping) or set(pair) != {"user", "password"}:
            errors.append(PlanError(host, "", key, HIDDEN, "this is not a user and a password, and nothing else", form))
        else:
            for name, value in pair.items():
                try:
                    if not _NETRC.fullmatch(header(value, name)):
                        why = "it goes into a netrc file, whose readers do not agree on quotes and backslashes, nor on # at the beginning"
                        raise Bad(why, "have the index give another one, without them")
                except Bad as bad:
                    errors.append(PlanError(host, "", f"{key}.{name}", HIDDEN, bad.why, bad.fix))
    return errors
