# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: the plan checks only their form, before the run changes anything, and never shows them.

http.client refuses a header with a line break by an exception that quotes all of it. Without this check a token with the line break that
C(echo) adds would appear in clear text.
"""

from __future__ import annotations

import re

from typing import Any, Mapping

from .. import values
from ..errors import HIDDEN, InvalidValue, PlanError, kind, shown

LONGEST = 4096
# Minimum length of the token of multi-node services in characters (roles/multi_node).
SHORTEST_RAY_TOKEN = 32

INDEX_CREDENTIALS = "host_index_credentials"

_PRINTABLE = re.compile(r"[!-~]+")
# Characters that all readers of a netrc file (curl, uv, pip, Python) parse alike: no quotes, escapes or comments.
_NETRC = re.compile(r"[!$-&(-\[\]-~][!#-&(-\[\]-~]*")
_MACHINE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_VAULT = "printf %s \"$SECRET\" | ansible-vault encrypt_string --stdin-name"


def header(value: Any, name: str = "the_variable") -> str:
    """A secret that goes into an HTTP header: printable ASCII without white space.

    :raises InvalidValue: with a reason and a fix that do not quote the value
    """
    if not isinstance(value, str):
        raise InvalidValue(f"this is {kind(value)} where text belongs", "write it as text, in quotes")
    if not value.strip():
        raise InvalidValue("it is empty or only white space", "write the secret, or remove the variable")
    if value != value.strip():
        ends = "it ends with a line break, which `echo` adds" if value.endswith("\n") else "it begins or ends with white space"
        raise InvalidValue(ends, f"encrypt it without: {_VAULT} {name}")
    if len(value) > LONGEST or not _PRINTABLE.fullmatch(value):
        why = f"it goes into an HTTP header, and has white space, a control character, a non-ASCII character, or more than {LONGEST} characters"
        raise InvalidValue(why, "use only ASCII letters, digits and punctuation, like the output of `openssl rand -hex 32`")
    return value


def multi_node_token(value: Any, name: str = "multi_node_token") -> str:
    """The token of multi-node services."""
    read = header(value, name)
    if len(read) < SHORTEST_RAY_TOKEN:
        raise InvalidValue(f"it is shorter than {SHORTEST_RAY_TOKEN} characters", "create one with `openssl rand -hex 32`, and store it in a vault")
    return read


def environment_value(value: Any, name: str) -> str | None:
    """A value of secret_environment, like a value of C(environment); None removes the variable.

    :raises InvalidValue: with a reason and a fix that do not quote the value
    """
    if value is None:
        return None
    if isinstance(value, str) and value.rstrip("\r\n") != value and value.rstrip("\r\n").isprintable():
        raise InvalidValue("it ends with a line break, which `echo` adds", f"encrypt it without: {_VAULT} {name}")
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        why = "it has more than one line, and an environment file has one line for each variable"
        raise InvalidValue(why, "store it in a file on the host that the service's account can read, and set the path here; or encode it with base64")
    return values.environment_value(value)


# Variables of hosts that are secrets, each with its reader. Empty text means that there is no secret.
_READERS = {
    "weights_token": header,
    "weights_credential_token": header,
    "model_service_credential_api_key": header,
    "multi_node_token": multi_node_token,
}

VARIABLES: tuple[str, ...] = (*_READERS, INDEX_CREDENTIALS)


def check(host: str, variables: Mapping[str, Any]) -> list[PlanError]:
    """The errors in a host's secrets. They do not quote values."""
    errors = []
    for name, reader in _READERS.items():
        value = variables.get(name, "")
        if value == "":
            continue
        try:
            if value is None:
                raise InvalidValue("this is nothing (null) where text belongs", 'write "" where there is none, or remove the variable')
            reader(value, name)
        except InvalidValue as bad:
            errors.append(PlanError(host, "", name, HIDDEN, bad.why, bad.fix))
    return [*errors, *_check_credentials(host, variables.get(INDEX_CREDENTIALS, {}))]


def _check_credentials(host: str, raw: Any) -> list[PlanError]:
    """The errors in users and passwords of package indexes, by the host name of the index."""
    form = "write it as <host name of the index>: {user: ..., password: ...} lines"
    if not isinstance(raw, Mapping):
        return [PlanError(host, "", INDEX_CREDENTIALS, HIDDEN, f"this is {kind(raw)} where a dictionary belongs", form)]
    errors = []
    for machine, pair in raw.items():
        key = f"{INDEX_CREDENTIALS}.{shown(str(machine))}"
        if not isinstance(machine, str) or not _MACHINE.fullmatch(machine):
            why = "this is not a host name: write it without scheme, port and path"
            errors.append(PlanError(host, "", f"{INDEX_CREDENTIALS} key", HIDDEN, why, form))
        elif not isinstance(pair, Mapping) or set(pair) != {"user", "password"}:
            errors.append(PlanError(host, "", key, HIDDEN, "it needs the keys user and password, and no others", form))
        else:
            for name, value in pair.items():
                try:
                    if not _NETRC.fullmatch(header(value, name)):
                        why = "it goes into a netrc file, whose readers parse quotes, backslashes and a leading # differently"
                        raise InvalidValue(why, "use another one without these characters")
                except InvalidValue as bad:
                    errors.append(PlanError(host, "", f"{key}.{name}", HIDDEN, bad.why, bad.fix))
    return errors
