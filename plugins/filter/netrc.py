# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that writes users and passwords of package indexes as uv, pip, git and curl read them. Documented in the .yml file beside this one."""

from __future__ import annotations

import typing as t


def netrc(credentials: t.Mapping[str, t.Mapping[str, str]]) -> str:
    """Return the text of a netrc file, sorted by host. The plan has seen to it that no value needs quotes."""
    rows = ((machine, credentials[machine]["user"], credentials[machine]["password"]) for machine in sorted(credentials))
    return "".join(f"machine {machine}\nlogin {user}\npassword {password}\n" for machine, user, password in rows)


class FilterModule:
    """Make the filter known to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"netrc": netrc}
