# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real `vllm serve` parser of the interpreter's own vLLM release. Only that release's Python can import it.

The file is also a program: a release's Python reads it from standard input, with the arguments of `vllm serve`, and it prints vLLM's
error as JSON. (An Ansible module cannot import torch itself: Ansible's patch of sys.intern breaks that import.)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import typing as t


class ArgumentError(Exception):
    """An error of vLLM's parser or validation about a command line."""


def use_cpu_where_no_gpu_is() -> None:
    """Use the CPU platform on a host without a driver: there a CUDA build cannot detect its platform, which its parser needs."""
    import vllm.platforms

    if vllm.platforms.current_platform.is_unspecified():
        from vllm.platforms.cpu import CpuPlatform

        vllm.platforms.current_platform = CpuPlatform()


def parser_class() -> type[argparse.ArgumentParser]:
    """Return vLLM's own ArgumentParser, which supports dotted JSON keys; its module depends on the version."""
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:
        from vllm.utils import FlexibleArgumentParser
    return FlexibleArgumentParser


def build() -> tuple[argparse.ArgumentParser, t.Any]:
    """Return the parser and the `serve` command, through an entry point that every version since 0.8.5 has."""
    from vllm.entrypoints.cli.serve import cmd_init

    parser = parser_class()(allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="subparser")
    command = cmd_init()[0]
    serve = command.subparser_init(subparsers)
    # Abbreviations would hide typing errors, and may mean another flag in the next version.
    serve.allow_abbrev = False
    return parser, command


def check(arguments: list[str]) -> int:
    """Check the arguments of `vllm serve` with vLLM itself, as deep as the available files allow, and return the depth.

    1: the arguments, and the names of parsers in them. 2: those parsers, created with the model's own tokenizer.
    3: the engine's configuration from the model's config.json: parallel sizes, context, quantisation, ranges.
    Starts no engine and reads no weights. Raises ArgumentError.
    """
    parser, command = build()

    def refuse(message: str) -> t.NoReturn:
        raise ArgumentError(message)

    for one in (parser, *parser._subparsers._group_actions[0].choices.values()):
        one.error = refuse
    try:
        parsed = parser.parse_args(["serve", *arguments])
        command.validate(parsed)
        made = find_parsers(parsed)
        if not os.path.isfile(os.path.join(str(parsed.model_tag), "config.json")):
            return 1
        make_parsers(made, parsed)
        make_engine_configuration(parsed)
        return 3
    except ArgumentError:
        raise
    except (Exception, SystemExit) as error:  # any exception of vLLM here would also end the service
        raise ArgumentError(first_sentence(str(error))) from error


def first_sentence(text: str) -> str:
    """Return the errors of pydantic's report, without its dump of all other values."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("For further information")]
    return " ".join(line.split(" [type=")[0].removeprefix("Value error, ") for line in lines)


def find_parsers(parsed: argparse.Namespace) -> list[tuple[str, str, t.Any]]:
    """Return option, name and class of the tool-call and reasoning parsers; an unknown one would fail minutes later. Raises ArgumentError.

    Loads plugins first, like `vllm serve`, since they may define the names.
    """
    from vllm.reasoning import ReasoningParserManager

    try:
        from vllm.tool_parsers import ToolParserManager
    except ImportError:
        from vllm.entrypoints.openai.tool_parsers import ToolParserManager

    for manager, kind in ((ToolParserManager, "tool"), (ReasoningParserManager, "reasoning")):
        path = getattr(parsed, f"{kind}_parser_plugin", None)
        if path:
            getattr(manager, f"import_{kind}_parser")(path)

    found = []
    for option, look_up in (("tool_call_parser", ToolParserManager.get_tool_parser), ("reasoning_parser", ReasoningParserManager.get_reasoning_parser)):
        name = getattr(parsed, option, None)
        if name:
            try:
                found.append((option, name, look_up(name)))
            except Exception as error:
                raise ArgumentError(f"argument --{option.replace('_', '-')}: {error}") from error
    return found


def make_parsers(parsers: list[tuple[str, str, t.Any]], parsed: argparse.Namespace) -> None:
    """Create the parsers with the model's tokenizer, which fails if it lacks a parser's tokens. Raises ArgumentError."""
    if not parsers:
        return
    try:
        from vllm.tokenizers import get_tokenizer
    except ImportError:
        from vllm.transformers_utils.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(parsed.tokenizer or parsed.model_tag, trust_remote_code=parsed.trust_remote_code)
    for option, name, parser in parsers:
        try:
            parser(tokenizer)
        except Exception as error:
            raise ArgumentError(f"{option} {name} is not compatible with this model's tokenizer: {error}") from error


def make_engine_configuration(parsed: argparse.Namespace) -> None:
    """Create the engine's configuration, which vLLM rejects with the reason if it is wrong. Skipped for several nodes, which do not run yet."""
    if getattr(parsed, "nnodes", 1) and getattr(parsed, "nnodes", 1) > 1:
        return
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext

    # `vllm serve` does the same with its positional argument.
    parsed.model = parsed.model_tag
    AsyncEngineArgs.from_cli_args(parsed).create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def main() -> None:
    """Print {"error": …, "depth": …} on the last line; the error is null when the arguments are valid."""
    # vLLM logs to standard output during its import.
    os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1")
    error, depth = None, 0
    with contextlib.redirect_stdout(sys.stderr):
        try:
            use_cpu_where_no_gpu_is()
            depth = check(sys.argv[1:])
        except ArgumentError as refused:
            error = str(refused)
    sys.stdout.write(json.dumps({"error": error, "depth": depth}) + "\n")


if __name__ == "__main__":
    main()
