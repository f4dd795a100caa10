#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prepares a home directory in which C(ansible-test) can install the requirements of its sanity tests from the package index only.

ansible-test clears its environment, so pip loses its C(PIP_*) settings: this script writes them into pip.conf in the home.
ansible-test also downloads a bootstrap script for pip from another host unless the script is in its cache: this script puts
one there that unpacks the pip in Python's own standard library.

    python tests/tools/sanity_home.py HOME     with the Python that ansible-test is installed in
"""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

BOOTSTRAP = "import ensurepip\n\nensurepip.bootstrap()\n"


def pip_settings(listing: str) -> dict[str, str]:
    """Settings from the output of C(pip config list). Settings from the environment override those from files.

    >>> pip_settings("global.timeout='9'\\n:env:.timeout='5'\\n")
    {'timeout': '5'}
    """
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        match = re.match(r"(:env:|[\w-]+)\.([\w-]+)=(.*)$", line)
        if match and match[1] in (":env:", "global", "install"):
            rank = (":env:", "install", "global")[::-1].index(match[1])
            if rank >= found.get(match[2], (-1, ""))[0]:
                found[match[2]] = (rank, ast.literal_eval(match[3]))
    return {name: value for name, (_rank, value) in found.items()}


def pip_version() -> str:
    """The version of pip that the installed ansible-test requires, for example V(24.2).

    Raises:
        RuntimeError: ansible-test is not installed, or its source has another format.
    """
    found = find_spec("ansible_test")
    if found and found.submodule_search_locations:
        source = Path(found.submodule_search_locations[0], "_internal", "python_requirements.py").read_text(encoding="utf-8")
        match = re.search(r"pip='([\d.]+)'", source)
        if match:
            return match[1]
    raise RuntimeError("cannot find the version of pip that ansible-test requires: see get_venv_packages in its python_requirements.py")


def main(home: Path) -> None:
    """Writes pip's settings and bootstrap script under O(home)."""
    listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True).stdout
    config = configparser.RawConfigParser()
    config["global"] = {"quiet": "2", **pip_settings(listing)}
    (home / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    with (home / ".config" / "pip" / "pip.conf").open("w", encoding="utf-8") as file:
        config.write(file)
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"get_pip_{pip_version().replace('.', '_')}.py").write_text(BOOTSTRAP, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
