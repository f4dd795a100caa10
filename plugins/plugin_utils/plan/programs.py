# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host's units and builds call the programs of the host library (plugins/module_utils, installed by role host)."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.module_utils import _library

# -E and -s: a program that runs as root must not load Python code from a service's environment or home directory.
# -B: Python writes no byte code into the installed library.
_PYTHON = ("/usr/bin/python3", "-EsB")


def library(install_dir: str) -> str:
    """The link to the host library in force. Its path stays the same when another version is installed."""
    return f"{install_dir}/lib/{_library.CURRENT}"


def program(install_dir: str, name: str, *arguments: str) -> list[str]:
    """The command that runs a program of the library, such as C(own_folders) or C(release.build), with the host's own Python."""
    return [*_PYTHON, library(install_dir), name, *arguments]
