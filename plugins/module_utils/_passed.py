# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what has passed its gate: the state to go back to, and which start of the unit it was."""

from __future__ import annotations

import dataclasses
import typing as t

from . import _served, _service


def mark(name: str, unit: str, keep: t.Mapping[str, t.Any] | None) -> None:
    """Keep what has passed, and which start of the unit it was, so that a later run need not ask again. Raises RuntimeError and OSError.

    In this order: a run that dies between the two is followed by one that asks again.
    """
    service = _service.Service(unit, keep["environment_file"] if keep else "", None, "present")
    # What answers may be older than the files: then nothing is known about these.
    if keep and service.runs_current_files() and not dataclasses.replace(service, served=keep["served"]).is_kept():
        state = _served.of_disk(name, service.path, service.environment_file, keep["release"], keep["release_path"], keep["weights_path"])
        _served.keep(keep["served"], state)
    with open(service.checked_record, "w", encoding="utf-8") as file:
        file.write(service.properties()["InvocationID"])
