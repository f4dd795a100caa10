# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that makes a JSON document from the result of the plan. Documented in the .yml file beside this one."""

from __future__ import annotations

import typing as t

from ansible_collections.inferops.gpu.plugins.module_utils._masking import masked

KEYS: dict[str, t.Any] = {"hosts": {}, "errors": [], "warnings": []}


def plan_document(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the hosts, errors and warnings of a plan, as far as it has them. Masks secrets that the plan may have failed to refuse."""
    return {key: _without_secrets(result.get(key) or empty) for key, empty in KEYS.items()}


def _without_secrets(value: t.Any) -> t.Any:
    if isinstance(value, t.Mapping):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in value]
    return masked(value) if isinstance(value, str) else value


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"plan_document": plan_document}
