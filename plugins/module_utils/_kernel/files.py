# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files that set kernel settings at boot. The role C(kernel) writes them from the plan."""

from __future__ import annotations

import os

from .. import _reading

MARK = "# Managed by inferops.gpu: changes made here are lost."

MODULES_FILE = "/etc/modules-load.d/inferops.conf"
OPTIONS_FILE = "/etc/modprobe.d/inferops.conf"
# sysctl.d(5) recommends 60 to 90 for files in /etc: an administrator's file with a higher number, or /etc/sysctl.conf, overrides it.
SYSCTL_FILE = "/etc/sysctl.d/90-inferops.conf"
TMPFILES_FILE = "/etc/tmpfiles.d/inferops.conf"
LIMITS_FILE = "/etc/security/limits.d/90-inferops.conf"
FILES = (MODULES_FILE, OPTIONS_FILE, SYSCTL_FILE, TMPFILES_FILE, LIMITS_FILE)

HUGEPAGES = "/sys/kernel/mm/transparent_hugepage/enabled"
GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


def managed(root: str) -> dict[str, list[str]]:
    """The lines, without comments, of the managed files on the host."""
    texts = {path: _reading.read_text(below(root, path)) for path in FILES}
    return {path: [line for line in text.splitlines() if line and not line.startswith("#")] for path, text in texts.items() if text.startswith(MARK)}


def unmanaged(root: str) -> list[str]:
    """Files that have the name of a managed file but were written by somebody else."""
    return [path for path in FILES if os.path.lexists(below(root, path)) and not _reading.read_text(below(root, path)).startswith(MARK)]


def folders(root: str) -> list[str]:
    """Folders of the managed files that the host lacks."""
    return [folder for folder in map(os.path.dirname, FILES) if not os.path.isdir(below(root, folder))]


def below(root: str, path: str) -> str:
    """A path of the host below the given root directory."""
    return os.path.join(root, path.lstrip("/"))
