# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program of the host library, as C(__main__.py) of its folder (_library.py):

    python3 <install>/lib/current PROGRAM ARGUMENT...    for example supervisor, fetch, release.build, cuda.link, own_folders

All imports come from the folder that C(current) points to at the start, even if the link changes later. The program locks that folder until it
ends, so that no later run removes it.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sys

PACKAGE = "inferops_gpu"
_TRIES = 100


def hold(entry: str) -> str:
    """Return the folder that a path points to, locked as long as this process lives. Raises OSError.

    Between any two of these steps another library may become the current one, and this one may be removed.
    """
    for _try in range(_TRIES):
        folder = os.path.realpath(entry)
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(number, fcntl.LOCK_SH)
            if os.path.samestat(os.stat(folder), os.fstat(number)):
                return folder
            os.close(number)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"{entry} does not point to a host library: run the playbook again, which installs it")


def main() -> object:
    """Run the program that the first argument names, with the remaining arguments."""
    if len(sys.argv) < 2:
        sys.exit(str(__doc__))
    sys.path[0] = hold(os.path.dirname(os.path.abspath(__file__)))
    sys.argv = sys.argv[1:]
    module = importlib.import_module(f"{PACKAGE}.{sys.argv[0]}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{PACKAGE}.{sys.argv[0]}.main")
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
