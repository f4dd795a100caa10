# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes C(ansible_collections.inferops.gpu) importable from the checkout, by Ansible's own collection loader."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[2]

# The loader is asked for, rather than sys.path: PyPI's `ansible` package owns the name `ansible_collections` there.
_AnsibleCollectionFinder(paths=[str(ROOT / "collections")])._install()
sys.path.insert(0, str(ROOT / "tests" / "tools"))
# Helpers that several folders use, by their names.
sys.path[:0] = [str(ROOT / "tests" / "unit" / name) for name in ("host_scripts", "plugins")]
