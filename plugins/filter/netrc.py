# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that formats users and passwords of package indexes for uv, pip, git and curl. Documented in the .yml file beside this one."""

from __future__ import annotations

import typing as t


def netrc(credentials: t.Mapping[str, t.Mapping[str, str]]) -> str:
    """Return the text of a netrc file, sorted by host. The plan has refused values that need quotes."""
    rows = ((machine, credentials[machine]["user"], credentials[machine]["password"]) for machine in sorted(credentials))
    return "".join(f"machine {machine}\nlogin {user}\npassword {password}\n" for machine, user, password in rows)


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"netrc": netrc}
