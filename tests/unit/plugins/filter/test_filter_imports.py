# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters are light: for each task that uses one, Ansible loads all filters of the collection, in a process of its own and without byte code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
# Lines of the collection's Python that all filters together may bring. The plan's 14,000 took half a second of a processor for each task.
MOST = 3000
PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"ansible_collections.inferops.gpu.plugins.filter.{name}")
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("ansible_collections.inferops.gpu") and getattr(module, "__file__", None)]
print(sum(len(open(path, encoding="utf-8").readlines()) for path in ours))
"""


def test_all_filters_together_are_light() -> None:
    names = sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.py"))
    assert len(names) > 10
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'collections')!r}){PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 500 < int(done.stdout) < MOST, done.stdout
