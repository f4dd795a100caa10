#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the classes of models that a vLLM has, from its source: vllm/model_executor/models/registry.py of a wheel or a source archive.

    python tests/tools/vllm_registry.py VERSION REGISTRY.PY >reading.json
    python tests/tools/vllm_tables.py reading.json

Nothing of the file is run, so any version can be read without an installation.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

# The dictionary that merges the others, and those of it that are no model of their own: any model of transformers, run by transformers' code.
ALL = "_VLLM_MODELS"
BACKENDS = ("_TRANSFORMERS_BACKEND_MODELS", "_TRANSFORMERS_MODELS")


def classes(source: str) -> list[str]:
    """Names of the classes in config.json's C(architectures) that the registry has, sorted.

    :raises ValueError: when the file has another form than known
    """
    named: dict[str, ast.Dict] = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            named[target.id] = node.value
    if ALL not in named:
        raise ValueError(f"there is no {ALL}")
    found: set[str] = set()

    def collect(dictionary: ast.Dict) -> None:
        for key, value in zip(dictionary.keys, dictionary.values):
            if key is None:
                if isinstance(value, ast.DictComp):
                    # Some of the classes of another dictionary, which is merged itself.
                    continue
                if not isinstance(value, ast.Name):
                    raise ValueError(f"line {value.lineno} merges something else than a dictionary by its name")
                if value.id not in BACKENDS:
                    collect(named[value.id])
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                found.add(key.value)
            else:
                raise ValueError(f"line {dictionary.lineno} has a key that is not a text")

    collect(named[ALL])
    return sorted(found)


def main(version: str, path: str) -> int:
    """Print the reading."""
    print(json.dumps({"version": version, "models": classes(Path(path).read_text(encoding="utf-8"))}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
