# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OS packages that the roles need in addition to C(host_packages), installed in one step."""

from __future__ import annotations

from typing import Callable, Mapping

from ..inputs.settings import interpreters
from ..placement.draft import HostDraft
from ..vllm.rocm import is_rocm_build

# Packages, each with the test whether a host needs it. The names are the same on Debian and Ubuntu.
_WANTED: Mapping[str, Callable[[HostDraft], bool]] = {
    # conntrack -S: the number of connections that the full table dropped.
    "conntrack": lambda host: host.settings.kernel_enabled,
    "git": lambda host: any(draft.release.needs_git for draft in host.services),
    "ufw": lambda host: host.settings.firewall_enabled,
}


def packages_of(host: HostDraft) -> list[str]:
    """Names of the packages, sorted."""
    return sorted({*(name for name, is_wanted in _WANTED.items() if is_wanted(host)), *python_packages(host), *rocm_packages(host)})


def rocm_packages(host: HostDraft) -> list[str]:
    """The packages with libraries that vLLM's wheels for ROCm load, apart from ROCm itself."""
    if host.facts is None or not any(is_rocm_build(draft.version) for draft in host.services):
        return []
    return host.tables.platforms.rocm.packages.get(host.facts.system.id, {}).get(host.facts.system.version, [])


def python_packages(host: HostDraft) -> list[str]:
    """The packages of a Python other than the distribution's default, where the distribution has it."""
    if host.facts is None:
        return []
    system = host.facts.system
    archive = host.tables.platforms.systems.get(system.id, {}).get(system.version, ())
    return interpreters.packages(host.settings.vllm_python, host.facts.python.version_of(interpreters.SYSTEM) or "", archive)
