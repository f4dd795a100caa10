# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests of what AWX is given, without an AWX and without a lab: C(tests/run-awx.sh)."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[2]

# Finds this checkout, and awx.awx among the packages: the PyPI package `ansible` carries it.
_AnsibleCollectionFinder(paths=[str(ROOT / "collections")])._install()
sys.path.insert(0, str(ROOT / "tests" / "tools"))
