# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that do not serve: hung engines, restart loops, failed and stopped units, with the cause that their journal or first failure's log names."""

from __future__ import annotations

import os
import re

from .. import _exit_status, _journal, _safe_paths, _systemd
from .context import Context
from .finding import Result, error, warning
from .units import Unit

# Journal lines that are searched for the cause.
LINES = 600
# The supervisor's directory of each unit in /run (roles/model_service/templates).
RUNTIME = "/run/inferops-supervisor"
_HUNG = re.compile(r"not answering since ([^(,]+)")


def check(context: Context) -> Result:
    """The state of each unit, as systemd and its supervisor report it."""
    for unit in context.units:
        yield from _state(context, unit)


def _state(context: Context, unit: Unit) -> Result:
    active, sub, status = unit.get("ActiveState"), unit.get("SubState"), unit.get("StatusText")
    look = f"journalctl --unit={unit.name} --lines=100 --no-pager"
    record = _systemd.read_progress(os.path.join(context.path(RUNTIME), unit.stem, "state.json"))
    failed = record.get("failed") if isinstance(record.get("failed"), int) else 0
    hung = _HUNG.search(status)
    if unit.get("LoadState") in ("masked", "error", "bad-setting"):
        yield error("unit-failed", f"systemd cannot load {unit.name} ({unit.get('LoadState')})", f"systemctl status {unit.name}", unit.service)
    elif active == "failed":
        yield error("unit-failed", f"{unit.name} has failed and stays down: {_cause(context, unit)}", look, unit.service, status)
    elif hung:
        cause = f"the engine has hung since {hung[1].strip()}: its port is open and it answers no request"
        yield error("engine-hung", cause, look, unit.service, status)
    # Between two starts the unit is "deactivating" for a moment. The supervisor forgets failures when somebody stops the unit.
    elif sub == "auto-restart" or (active == "deactivating" and failed) or (active == "activating" and (failed or unit.get("NRestarts") not in ("", "0"))):
        times = max(int(failed or 0), int(unit.get("NRestarts") or 0))
        yield error("restart-loop", f"{unit.name} fails and restarts again and again ({times} times): {_cause(context, unit)}", look, unit.service, status)
    elif active == "inactive" and unit.get("UnitFileState") == "enabled":
        yield warning("unit-stopped", f"{unit.name} is stopped, and is to start at boot", f"systemctl start {unit.name}", unit.service)


def _cause(context: Context, unit: Unit) -> str:
    """Return the known cause in the log of the first failure, else in the journal of the unit, else what systemd says."""
    lines = first_failure(os.path.join(context.path(context.failures), unit.stem))
    found = _journal.cause(lines) or _journal.cause(_systemd.journal(unit.name, "", LINES))
    if found:
        return found
    if lines:
        # The supervisor's own reason.
        return lines[0].lstrip("# ")
    return f"the program {_exit_status.describe(-9)}" if unit.get("Result") == "oom-kill" else f"systemd reports {unit.get('Result') or 'nothing'}"


def first_failure(folder: str) -> list[str]:
    """Return the log of a unit's latest first failure, which belongs to the service's account: no link in it is followed. Empty without one."""
    try:
        opened = _safe_paths.open_folder(folder)
    except OSError:
        return []
    try:
        names = sorted(os.listdir(opened))
    finally:
        os.close(opened)
    return _safe_paths.read_text(os.path.join(folder, names[-1], "output.log"), of_folders_owner=True).splitlines() if names else []
