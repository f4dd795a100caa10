# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings of a host: its parameters, their configuration files, and what the host still lacks of both."""

from __future__ import annotations

import os

from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import files, keys

from ..inputs.settings import Settings, kernel

MODULE = "nf_conntrack"
_MAX = "net.netfilter.nf_conntrack_max"
_BUCKETS = "net.netfilter.nf_conntrack_buckets"


def sysctl_of(settings: Settings) -> dict[str, str]:
    """The parameters for a host: the collection's values, overridden by the user's."""
    found: dict[str, str | None] = {
        _BUCKETS: str(settings.kernel_conntrack_buckets or settings.kernel_conntrack_max),
        _MAX: str(settings.kernel_conntrack_max),
        **settings.kernel_sysctl_defaults,
    }
    if settings.kernel_socket_buffer_max is not None:
        most = str(settings.kernel_socket_buffer_max)
        # The first two of the three numbers, the minimum and the initial size, are the kernel's defaults.
        found.update({
            "net.core.rmem_max": most, "net.core.wmem_max": most, "net.ipv4.tcp_rmem": f"4096 131072 {most}", "net.ipv4.tcp_wmem": f"4096 16384 {most}",
        })
    if settings.kernel_swappiness is not None:
        found["vm.swappiness"] = str(settings.kernel_swappiness)
    found.update(settings.kernel_sysctl)
    return {key: value for key, value in found.items() if value is not None}


def files_of(settings: Settings) -> list[dict[str, Any]]:
    """The configuration files of a host, each with its path, purpose and lines. A file without lines is removed."""
    sysctl = sysctl_of(settings)
    # The module loads with the same number of buckets, whichever variable sets it. It would not load with a value that is not a number.
    hashsize = sysctl.get(_BUCKETS, "")
    written = {files.HUGEPAGES: settings.kernel_transparent_hugepages, files.GOVERNORS: settings.kernel_cpu_governor}
    contents = {
        files.MODULES_FILE: ("Loaded at boot, before parameters are set.", [MODULE]),
        files.OPTIONS_FILE: ("Used when the module is loaded.", [f"options {MODULE} hashsize={hashsize}"] if hashsize.isdigit() else []),
        files.SYSCTL_FILE: ("Set at boot by systemd-sysctl, after systemd-modules-load.", [f"{key} = {value}" for key, value in sysctl.items()]),
        files.TMPFILES_FILE: ("Written at boot by systemd-tmpfiles.", [f"w {path} - - - - {value}" for path, value in written.items() if value]),
        files.LIMITS_FILE: ("Memory that programs of these users may pin.", [f"{name} - memlock unlimited" for name in settings.kernel_memlock_users]),
    }
    return [{"path": path, "purpose": purpose, "lines": lines} for path, (purpose, lines) in contents.items()]


def kernel_of(settings: Settings, facts: kernel.KernelFacts | None) -> dict[str, Any]:
    """The part of the plan that the role kernel reads.

    C(needed) is whether the role has anything to set or report, C(files) are the files to write, C(folders) the directories to create for them, and
    C(obsolete) the files to remove.
    """
    if not settings.kernel_enabled:
        return {"enabled": False, "needed": False, "folders": [], "files": [], "obsolete": []}
    there = facts.files if facts is not None else {}
    items = files_of(settings)
    write = [item for item in items if item["lines"] and tuple(item["lines"]) != there.get(item["path"])]
    missing = facts.missing_folders if facts is not None else ()
    return {
        "enabled": True,
        "needed": facts is None or not is_in_force(settings, facts),
        "sysctl": sysctl_of(settings),
        "modules": [MODULE],
        "transparent_hugepages": settings.kernel_transparent_hugepages or "",
        "cpu_governor": settings.kernel_cpu_governor or "",
        "folders": [folder for folder in missing if folder in {os.path.dirname(item["path"]) for item in write}],
        "files": write,
        "obsolete": [item["path"] for item in items if not item["lines"] and item["path"] in there],
    }


def is_in_force(settings: Settings, facts: kernel.KernelFacts) -> bool:
    """Whether all settings are in force on a host, and no other file overrides one of them."""
    governor = settings.kernel_cpu_governor
    return (
        MODULE in facts.modules
        and all(_is_set(key, value, facts.sysctl.get(key)) for key, value in sysctl_of(settings).items())
        and settings.kernel_transparent_hugepages in (None, facts.transparent_hugepages)
        and (not governor or facts.governors == (governor,))
    )


def _is_set(key: str, value: str, found: kernel.Parameter | None) -> bool:
    return found is not None and all(keys.same(key, value, other) for other in (found.value, *found.conflicts))
