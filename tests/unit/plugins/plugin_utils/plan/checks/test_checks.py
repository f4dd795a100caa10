# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How checks are found: by listing their folder."""

from __future__ import annotations

import importlib
import inspect

from pathlib import Path

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import checks


def test_no_check_is_forgotten() -> None:
    """A function that is called like a check and yields findings, without the decorator, would never be asked."""
    marked = {check.function for check in (*checks.HOST_CHECKS, *checks.MULTI_NODE_CHECKS)}
    forgotten = []
    for path in sorted(Path(checks.__file__).parent.glob("*.py")):
        if path.stem in ("__init__", "base"):
            continue
        module = importlib.import_module(f"{checks.__name__}.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            signature = inspect.signature(function)
            takes = [parameter.annotation for parameter in signature.parameters.values()]
            is_one = takes in (["HostDraft"], ["MultiNodeService", "Run"]) and str(signature.return_annotation).startswith("Iterator")
            if is_one and function.__module__ == module.__name__ and not name.startswith("_") and function not in marked:
                forgotten.append(f"{path.name}: {name}")
    assert not forgotten, f"put @check() or @multi_node_check on {', '.join(forgotten)}"


def test_names_are_unique() -> None:
    """A user accepts findings by these names."""
    names = [check.name for check in (*checks.HOST_CHECKS, *checks.MULTI_NODE_CHECKS)]
    assert len(names) == len(set(names)) > 100
