# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host's units and builds call the programs of the host library (plugins/module_utils, installed by role host)."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils import _library

# -E and -s: the environment and the home may be a service's own, and what Python would load from there is not for a program of root's.
# -B: a library stays as it was installed.
_PYTHON = ("/usr/bin/python3", "-EsB")


def library(install_dir: str) -> str:
    """The library in force on a host, whichever that is: what names it stays the same when another one comes."""
    return f"{install_dir}/lib/{_library.CURRENT}"


def program(install_dir: str, name: str, *arguments: str) -> list[str]:
    """The command of a program by the host's own Python, such as C(own_folders) or C(release.build)."""
    return [*_PYTHON, library(install_dir), name, *arguments]
