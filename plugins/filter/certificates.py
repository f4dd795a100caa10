# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that compares certificates on the controller with those on a host. Documented in the .yml file beside this one."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError


def missing_certificates(paths: t.Sequence[str], present: t.Mapping[str, str]) -> list[dict[str, str]]:
    """Return the source and the file name of each certificate that is missing on a host or differs there.

    `present` maps file names in the host's certificate directory to their sha256.
    """
    wanted = []
    for path in paths:
        name = f"inferops-{Path(path).stem}.crt"
        try:
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise AnsibleFilterError(f"host_ca_certificates names {path}, which can't be read on the controller: {error}") from error
        if present.get(name) != digest:
            wanted.append({"source": path, "name": name})
    return wanted


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"missing_certificates": missing_certificates}
