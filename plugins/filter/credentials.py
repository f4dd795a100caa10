# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that finds passwords and tokens in public values. Documented in the .yml file beside this one."""

from __future__ import annotations

import typing as t

from ansible_collections.inferops.gpu.plugins.module_utils._masking import has_credentials, has_token


def credential_places(variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return the places of URLs with a user, a password or a token, and of tokens, in these variables. A place is like `projects[0].url`."""
    return list(dict.fromkeys(_found("", variables)))


def _found(where: str, value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        if has_credentials(value) or has_token(value):
            yield where
    elif isinstance(value, t.Mapping):
        for key, item in value.items():
            # A key that is itself a secret is not part of the place.
            name = str(key)
            hidden = has_credentials(name) or has_token(name)
            inner = f"{where}.{name}" if where else name
            yield from (where or "a name",) if hidden else _found(inner, item)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _found(f"{where}[{position}]", item)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"credential_places": credential_places}
