# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that collects the secrets of the inventory, which a support bundle is searched for. Documented in the .yml file beside this one."""

from __future__ import annotations

import typing as t


def bundle_secrets(services: t.Sequence[t.Any], variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return the texts in api_key and secret_environment of services and in these variables, except names of users."""
    found: dict[str, None] = {}
    for service in services:
        if isinstance(service, t.Mapping):
            for name in ("api_key", "secret_environment"):
                found.update(dict.fromkeys(_texts(service.get(name))))
    found.update(dict.fromkeys(_texts(variables)))
    return list(found)


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, t.Mapping):
        for name, item in value.items():
            if name != "user":
                yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
        yield str(value)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"bundle_secrets": bundle_secrets}
