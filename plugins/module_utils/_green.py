# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The temporary unit of a blue/green update, in which a service's new engine runs beside the old one. All of its files are in /run: no reboot
starts it. Its name is not that of a service's unit (vllm-*), so that nothing takes it for a service."""

from __future__ import annotations

import glob
import os

from . import _host, _safe_paths, _systemd
from .drain import redirect

DIRECTORY = "/run/systemd/system"
_RECORDS = "/run/inferops"
_SUPERVISORS = "/run/inferops-supervisor"
# Readable by the services' accounts.
_ADAPTERS = "/run/inferops-adapters"
_PREFIX, _SUFFIX = "inferops-green-", ".service"
# Name of the folder with its caches in the service's cache.
NAME = "green"


def unit_of(service: str) -> str:
    """Return the temporary unit of a service."""
    return f"{_PREFIX}{service}{_SUFFIX}"


def service_of(unit: str) -> str:
    """Return the service of a temporary unit."""
    return unit[len(_PREFIX):-len(_SUFFIX)]


def environment_file(service: str) -> str:
    """Return the path of its environment file, which has secrets."""
    return f"{_RECORDS}/{_PREFIX}{service}.env"


def adapters_file(service: str) -> str:
    """Return the path of the file with its LoRA adapters: the engine beside it goes on with its own until it stops."""
    return f"{_ADAPTERS}/{service}.json"


def environment_files() -> list[str]:
    """Return the paths of the environment files of all temporary units, also of one whose unit file is gone."""
    return sorted(glob.glob(f"{_RECORDS}/{_PREFIX}*.env"))


def cache_of(cache: str) -> str:
    """Return the folder with its caches, in the service's cache."""
    return os.path.join(cache, NAME)


def path_of(unit: str) -> str:
    """Return the path of its unit file."""
    return os.path.join(DIRECTORY, unit)


def units() -> list[str]:
    """Return the temporary units of the host: of a run that goes on, or of one that has died."""
    found = sorted(glob.glob(os.path.join(DIRECTORY, f"{_PREFIX}*{_SUFFIX}")))
    return [os.path.basename(path) for path in found if _host.read_text(path).startswith(_host.UNIT_MARK)]


def is_there(unit: str) -> bool:
    """Whether a run has left the unit, or goes on."""
    return _safe_paths.exists(path_of(unit))


def files(unit: str) -> list[str]:
    """Return the paths of its files, the unit file last: by that the next run finds what a run has left that died."""
    service = service_of(unit)
    records = [f"{_RECORDS}/{unit}.started", f"{_SUPERVISORS}/{unit.rpartition('.')[0]}"]
    return [environment_file(service), adapters_file(service), *records, path_of(unit)]


def stop(unit: str) -> None:
    """Stop it. The unit itself ends the redirect first, and drains its engine (drain/main.py); what it could not end ends here. Raises RuntimeError."""
    _systemd.systemctl("stop", unit)
    if _systemd.show(unit, "ActiveState")["ActiveState"] == "failed":
        _systemd.systemctl("reset-failed", unit)
    errors = [*redirect.switch_back(unit), *redirect.release(unit)]
    if errors:
        raise RuntimeError(f"Connections are still redirected to {unit}: {'; '.join(dict.fromkeys(errors))}")


def remove(unit: str) -> None:
    """Stop it, and remove its caches and its files. Raises RuntimeError, OSError."""
    found = _systemd.show(unit, "LoadState", "WorkingDirectory")
    # The service's cache, in which the unit has its own.
    caches = [cache_of(found["WorkingDirectory"])] if found["WorkingDirectory"].startswith("/") else []
    if found["LoadState"] != "not-found":
        stop(unit)
    for path in (*caches, *files(unit)):
        _safe_paths.remove(path)
    _systemd.systemctl("daemon-reload")
