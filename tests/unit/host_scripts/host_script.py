# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Loads a script that a role puts on a host."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "roles"


def load(path: Path, name: str) -> ModuleType:
    """The script at a path as a module of a name."""
    # On a host they lie in one folder and import each other.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    # Dataclasses look for their module there.
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
