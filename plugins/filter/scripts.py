# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare scripts on the controller with those on a host. Documented in the .yml file beside this one."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError


def missing_scripts(wanted: t.Sequence[t.Mapping[str, str]], present: t.Mapping[str, str]) -> list[dict[str, str]]:
    """Return those of the wanted scripts (`name` on the host, `source` on the controller) that a host lacks or has in another version.

    `present` maps the names of the host's scripts to their sha256.
    """
    missing = []
    for script in wanted:
        try:
            digest = hashlib.sha256(Path(script["source"]).read_bytes()).hexdigest()
        except OSError as error:
            raise AnsibleFilterError(f"{script['source']} can't be read on the controller: {error}") from error
        if present.get(script["name"]) != digest:
            missing.append(dict(script))
    return missing


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"missing_scripts": missing_scripts}
