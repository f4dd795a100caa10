# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of C(vllm serve): every flag of vLLM 0.32.0, from the project's own table of them (flags.json), and what vLLM checks of it."""

from __future__ import annotations

import argparse
import json
import os
import typing as t

_DEFAULTS = {
    "tensor_parallel_size": 1, "pipeline_parallel_size": 1, "nnodes": 1, "node_rank": 0, "port": 8000, "shutdown_timeout": 0, "host": "0.0.0.0",
    "master_addr": "127.0.0.1", "master_port": 29501, "headless": False,
}
_WHOLE = ("whole", "count", "count_or_auto")


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add vLLM's arguments to a parser."""
    with open(os.path.join(os.path.dirname(__file__), "flags.json"), encoding="utf-8") as file:
        table: dict[str, dict[str, t.Any]] = json.load(file)
    parser.add_argument("model_tag", nargs="?")
    for flag, what in table.items():
        names = [flag, *what.get("aliases", [])]
        if what["kind"] == "switch":
            parser.add_argument(*names, action=argparse.BooleanOptionalAction)
        elif what["kind"] == "on":
            parser.add_argument(*names, action="store_true")
        else:
            repeated = {"nargs": "+"} if what.get("many") else {}
            parser.add_argument(*names, type=_type(what), choices=what.get("choices"), **repeated)
    parser.set_defaults(**_DEFAULTS)
    return parser


def _type(what: dict[str, t.Any]) -> t.Callable[[str], t.Any]:
    def read(text: str) -> t.Any:
        kind = what["kind"]
        if kind in _WHOLE and text not in ("auto", "None"):
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "json" or (kind == "json_or_text" and text.startswith(("{", "["))):
            return json.loads(text)
        return text

    read.__name__ = what["kind"]
    return read


def check_model(options: argparse.Namespace) -> None:
    """Check the arguments against the model. Raises ValueError, like vLLM when it creates the engine's configuration."""
    with open(os.path.join(options.model_tag, "config.json"), encoding="utf-8") as file:
        longest = json.load(file)["max_position_embeddings"]
    if options.max_model_len is None:
        options.max_model_len = longest
    if options.max_model_len > longest:
        raise ValueError(
            f"User-specified max_model_len ({options.max_model_len}) is greater than the derived max_model_len (max_position_embeddings={longest}).",
        )
