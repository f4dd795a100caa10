#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads names, types and labels of vLLM's Prometheus metrics from its sources, and writes the table of all versions.

    python tests/tools/vllm_metrics.py SOURCES

SOURCES has a folder for each version of C(roles/plan/files/vllm_flags.json), such as C(0.32.0/), with C(vllm/) of a wheel or a source archive in it;
C(FILES) alone are enough. A version whose folder is missing keeps what the table has of it. Nothing is run, so no version needs an installation.

The table, C(tests/unit/roles/monitoring/data/vllm_metrics.json), is for tests alone: every name in a rule or a dashboard has to exist in every version.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any, Iterator, Union

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ROOT / "roles/plan/files/vllm_flags.json"
TABLE = ROOT / "tests/unit/roles/monitoring/data/vllm_metrics.json"
ABOUT = (
    "Prometheus metrics of vLLM's engine by version, as /metrics names them, written by tests/tools/vllm_metrics.py. Each entry: first and last version,"
    " type, labels (null: made at run time), and the condition of the source under which it exists, empty for always."
)

# What an engine that serves one model exposes by itself; connectors and offloading have further files.
FILES = ("vllm/v1/metrics/loggers.py", "vllm/v1/spec_decode/metrics.py")
# Where the API server adds the HTTP metrics of prometheus-fastapi-instrumentator: the first in older versions, the second since 0.15.
SERVERS = ("vllm/entrypoints/openai/api_server.py", "vllm/entrypoints/serve/instrumentator/metrics.py")
# What `Instrumentator().add()` exposes: prometheus_fastapi_instrumentator/metrics.py, default(), the same in 7.0.0 and 8.1.0.
HTTP = {
    "http_requests_total": ["counter", ["handler", "method", "status"], ""],
    "http_request_size_bytes": ["summary", ["handler"], ""],
    "http_response_size_bytes": ["summary", ["handler"], ""],
    "http_request_duration_highr_seconds": ["histogram", [], ""],
    "http_request_duration_seconds": ["histogram", ["handler", "method"], ""],
}
TYPES = ("gauge", "counter", "histogram")
Made = Union[ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef]


def _parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def _type_of(call: ast.Call) -> str:
    """The type by the class that is called: C(Gauge), C(self._gauge_cls), C(prometheus_client.Counter). Empty for another function."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    word = name.strip("_").lower()
    return next((kind for kind in TYPES if word in (kind, f"{kind}_cls", f"{kind}cls")), "")


def _negated(test: ast.expr) -> str:
    return ast.unparse(test.operand) if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else f"not ({ast.unparse(test)})"


class _Source:
    """One file, with what its variables can be."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.tree = ast.parse(text)
        self.parents = _parents(self.tree)

    def scope(self, node: ast.AST) -> ast.AST:
        """The function around a node, or the module."""
        while not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            node = self.parents[node]
        return node

    def conditions(self, node: ast.AST) -> list[str]:
        """The conditions of the C(if)s around a node in its function, and of those before it that return, as source text."""
        found: list[str] = []
        while not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            parent = self.parents[node]
            if isinstance(parent, ast.If):
                text = ast.unparse(parent.test)
                found.append(text if node in parent.body else _negated(parent.test))
            if isinstance(parent, ast.FunctionDef) and node in parent.body:
                for earlier in parent.body[: parent.body.index(node)]:
                    if isinstance(earlier, ast.If) and isinstance(earlier.body[-1], ast.Return):
                        found.append(_negated(earlier.test))
            node = parent
        return found[::-1]

    def values(self, name: str, around: ast.AST) -> Iterator[tuple[ast.expr, ast.AST]]:
        """What a variable can be in a function: assignments, also at the module's level, and the items of a loop over a list of tuples."""
        for scope in dict.fromkeys((self.scope(around), self.tree)):
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
                    yield node.value, node
                elif isinstance(node, (ast.comprehension, ast.For)) and isinstance(node.target, ast.Tuple):
                    names = [item.id for item in node.target.elts if isinstance(item, ast.Name)]
                    if name in names and isinstance(node.iter, ast.Name):
                        for items, where in self.values(node.iter.id, around):
                            for item in items.elts if isinstance(items, ast.List) else []:
                                if isinstance(item, ast.Tuple):
                                    yield item.elts[names.index(name)], where

    def names(self, node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
        """The names that an argument can be, each with the node whose conditions hold for it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node
        elif isinstance(node, ast.Name):
            for value, where in self.values(node.id, node):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value, where

    def labels(self, node: ast.expr | None) -> list[str] | None:
        """Names of labels; None where they are made at run time."""
        if node is None:
            return []
        if isinstance(node, (ast.List, ast.Tuple)):
            found = [self._text(item) for item in node.elts]
            return None if None in found else [str(item) for item in found]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.labels(node.left), self.labels(node.right)
            return None if left is None or right is None else left + right
        if isinstance(node, ast.Name):
            for value, _where in self.values(node.id, node):
                return self.labels(value)
            # A parameter: the caller's, in PrometheusStatLogger.
            return ["model_name", "engine"] if node.id == "labelnames" else None
        return None

    def _text(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            for other in ast.walk(self.tree):
                if isinstance(other, ast.Assign) and ast.unparse(other.targets[0]) == ast.unparse(node) and isinstance(other.value, ast.Constant):
                    return str(other.value.value)
        return None

    def metrics(self) -> dict[str, list[Any]]:
        """Name -> [type, labels, condition].

        :raises ValueError: when the name of a metric cannot be read
        """
        found: dict[str, list[Any]] = {}
        for node in ast.walk(self.tree):
            kind = _type_of(node) if isinstance(node, ast.Call) else ""
            if not kind or not isinstance(node, ast.Call):
                continue
            given = {item.arg: item.value for item in node.keywords}
            argument = given.get("name") or (node.args[0] if node.args else None)
            if argument is None:
                continue
            names = [(name, where) for name, where in self.names(argument) if name.startswith("vllm:")]
            if not names:
                raise ValueError(f"{self.path}, line {node.lineno}: the metric's name cannot be read: {ast.unparse(argument)}")
            labels = self.labels(given.get("labelnames"))
            for name, where in names:
                if kind == "counter" and not name.endswith("_total"):
                    name += "_total"
                # Of a name in a list, both the conditions of the list and of the call hold.
                found[name] = [kind, labels, " and ".join(dict.fromkeys([*self.conditions(node), *self.conditions(where)]))]
        return found


def read_version(folder: Path) -> dict[str, list[Any]]:
    """The metrics of a version: name -> [type, labels, condition].

    :raises ValueError: when a source is missing, or has another form than known
    """
    found: dict[str, list[Any]] = {}
    for path in FILES:
        if not (folder / path).is_file():
            raise ValueError(f"{folder / path} is missing")
        found.update(_Source((folder / path).read_text(encoding="utf-8"), path).metrics())
    if not any("Instrumentator(" in (folder / path).read_text(encoding="utf-8") for path in SERVERS if (folder / path).is_file()):
        raise ValueError(f"{folder}: no Instrumentator in {' or '.join(SERVERS)}")
    return {**found, **HTTP}


def expand(table: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """The table by version: version -> name -> [type, labels, condition]."""
    versions = table["versions"]
    found: dict[str, dict[str, list[Any]]] = {version: {} for version in versions}
    for name, entries in table["metrics"].items():
        for first, last, *what in entries:
            for version in versions[versions.index(first):versions.index(last) + 1]:
                found[version][name] = what
    return found


def pack(readings: dict[str, dict[str, list[Any]]]) -> dict[str, Any]:
    """The table of readings by version, in the order of the versions."""
    versions = list(readings)
    metrics: dict[str, list[list[Any]]] = {}
    for number, version in enumerate(versions):
        for name, what in readings[version].items():
            entries = metrics.setdefault(name, [])
            if entries and entries[-1][2:] == what and versions.index(entries[-1][1]) == number - 1:
                entries[-1][1] = version
            else:
                entries.append([version, version, *what])
    return {"about": ABOUT, "versions": versions, "metrics": dict(sorted(metrics.items()))}


def dumps(table: dict[str, Any]) -> str:
    """JSON with a line for each entry."""
    lines = [f' "about": {json.dumps(table["about"])},', f' "versions": {json.dumps(table["versions"])},', ' "metrics": {']
    for name, entries in table["metrics"].items():
        rows = ",\n   ".join(json.dumps(entry) for entry in entries)
        lines.append(f"  {json.dumps(name)}: [\n   {rows}\n  ],")
    return "{\n" + "\n".join(lines)[:-1] + "\n }\n}\n"


def main(sources: str) -> int:
    """Write the table."""
    known = expand(json.loads(TABLE.read_text(encoding="utf-8"))) if TABLE.exists() else {}
    readings: dict[str, dict[str, list[Any]]] = {}
    for version in json.loads(FLAGS.read_text(encoding="utf-8"))["versions"]:
        folder = Path(sources) / version
        if folder.is_dir():
            readings[version] = read_version(folder)
        elif version in known:
            readings[version] = known[version]
        else:
            print(f"{version}: no folder {folder}, and the table has nothing of it", file=sys.stderr)
            return 1
    TABLE.write_text(dumps(pack(readings)), encoding="utf-8")
    print(f"{len(readings)} versions, {len(pack(readings)['metrics'])} metrics")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
