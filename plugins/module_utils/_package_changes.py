# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an administrator has changed about Debian packages: their configuration files, and the units of their programs."""

from __future__ import annotations

import glob
import hashlib
import os
import typing as t

from . import _host

# The name of this collection's drop-ins.
DROP_IN = "inferops.conf"
UNITS = "/etc/systemd/system"


def installed(packages: t.Iterable[str]) -> list[str]:
    """Return those of the packages that are installed."""
    # One call for each: dpkg-query fails as a whole when it does not know one of them.
    return [name for name in packages if _host.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", name)[1:2] == "i"]


def changed_files(packages: t.Iterable[str]) -> list[str]:
    """Return the configuration files that differ from those of their installed packages, or were removed."""
    names = installed(packages)
    said = _host.run("dpkg-query", "--show", "--showformat=${Conffiles}\n", *names) if names else ""
    return differing(said)


def differing(conffiles: str) -> list[str]:
    """Return the paths that differ from dpkg's list of them: a line for each with path, MD5, and perhaps C(obsolete)."""
    found = []
    for line in conffiles.splitlines():
        words = line.split()
        # A package that has not been configured yet has "newconffile" in place of the digest.
        if len(words) == 2 and len(words[1]) == 32 and _digest(words[0]) != words[1]:
            found.append(words[0])
    return found


def _digest(path: str) -> str:
    """The MD5 by which dpkg recognises changes; it protects nothing."""
    try:
        with open(path, "rb") as file:
            return hashlib.new("md5", file.read(), usedforsecurity=False).hexdigest()
    except OSError:
        return ""


def changed_units(units: t.Iterable[str], directory: str = UNITS) -> list[str]:
    """Return the files of an administrator that replace or change units."""
    found = []
    for unit in units:
        path = os.path.join(directory, unit)
        drop_ins = sorted(glob.glob(os.path.join(path + ".d", "*.conf")))
        found += [one for one in (path, *drop_ins) if os.path.lexists(one) and os.path.basename(one) != DROP_IN]
    return found
