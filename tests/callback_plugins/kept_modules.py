# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the modules that Ansible has packed from one run of the tests to the next.

Ansible packs each module with all that it imports, once in each run, which is a quarter of the controller's processor time in a run that changes
nothing. It keeps the packages in C(ansiballz_cache) under its temporary directory, which it removes at the end. Here that is a link to a directory
of the checkout, in C(.cache), whose name is a digest of everything that goes into the packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

import ansible.release
from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kept_modules
type: aggregate
short_description: Keeps the modules that Ansible has packed from one run of the tests to the next
description: For the project's own tests.
"""

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "modules"
# What modules are made of, and the versions of the collections that others come from.
SOURCES = ("plugins/modules", "plugins/module_utils")
VERSIONS = ("requirements-test.txt", "tests/requirements-newest.txt")
# A package that nobody can need any more: no run of the tests takes as long.
OLD_SECONDS = 24 * 3600


def digest(root: Path = ROOT) -> str:
    """Return a digest of all that goes into a packed module."""
    found = hashlib.sha256(f"{ansible.release.__version__} {sys.version}".encode())
    paths = [root / name for name in VERSIONS]
    for folder in SOURCES:
        paths += sorted((root / folder).rglob("*.py"))
    for path in paths:
        if path.is_file():
            found.update(f"\n{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:32]


def link(temporary: Path, root: Path = ROOT, cache: Path = CACHE) -> None:
    """Have Ansible keep packed modules, if it has not begun to do so elsewhere."""
    target = cache / digest(root)
    if not target.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for other in cache.iterdir():
            if other != target and other.stat().st_mtime < time.time() - OLD_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    try:
        os.symlink(target, temporary / "ansiballz_cache")
    except FileExistsError:
        pass


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Loaded before the first task of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_modules"

    def __init__(self) -> None:
        super().__init__()
        link(Path(constants.DEFAULT_LOCAL_TMP))
