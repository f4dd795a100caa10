# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real `vllm serve` parser of whichever vLLM release the interpreter belongs to. Only that release's Python can import what it needs.

The file is also a program: fed to a release's Python on standard input, with the arguments of `vllm serve` as its own, it prints what
vLLM says against them as JSON. (An Ansible module can't import torch itself: Ansible's patch of sys.intern breaks that import.)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import typing as t


class ArgumentFault(Exception):
    """What vLLM's parser or validation said against a command line."""


def use_cpu_where_no_gpu_is() -> None:
    """A CUDA build cannot tell its platform on a host without a driver, and its parser needs one: lend it the CPU's."""
    import vllm.platforms

    if vllm.platforms.current_platform.is_unspecified():
        from vllm.platforms.cpu import CpuPlatform

        vllm.platforms.current_platform = CpuPlatform()


def parser_class() -> type[argparse.ArgumentParser]:
    """Return vLLM's own ArgumentParser (it understands dotted JSON keys), wherever this version keeps it."""
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:
        from vllm.utils import FlexibleArgumentParser
    return FlexibleArgumentParser


def build() -> tuple[argparse.ArgumentParser, t.Any]:
    """Return the parser and the `serve` command, by the entry point that stands in every version from 0.8.5 on."""
    from vllm.entrypoints.cli.serve import cmd_init

    parser = parser_class()(allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="subparser")
    command = cmd_init()[0]
    serve = command.subparser_init(subparsers)
    # An abbreviation would let a typing error pass, and mean another flag in the next version.
    serve.allow_abbrev = False
    return parser, command


def check(arguments: list[str]) -> None:
    """Parse and validate the arguments of `vllm serve`, and look up the parsers that they name. Raises ArgumentFault."""
    parser, command = build()

    def refuse(message: str) -> t.NoReturn:
        raise ArgumentFault(message)

    for one in (parser, *parser._subparsers._group_actions[0].choices.values()):
        one.error = refuse
    try:
        parsed = parser.parse_args(["serve", *arguments])
        command.validate(parsed)
        look_up_parsers(parsed)
    except ArgumentFault:
        raise
    except (Exception, SystemExit) as error:  # whatever vLLM raises here would end the service the same way
        raise ArgumentFault(str(error)) from error


def look_up_parsers(parsed: argparse.Namespace) -> None:
    """See that the tool-call and reasoning parsers exist: an unknown one fails minutes later, when the server starts. Raises ArgumentFault."""
    from vllm.reasoning import ReasoningParserManager

    try:
        from vllm.tool_parsers import ToolParserManager
    except ImportError:
        from vllm.entrypoints.openai.tool_parsers import ToolParserManager

    for option, name, look_up in (
        ("--tool-call-parser", getattr(parsed, "tool_call_parser", None), ToolParserManager.get_tool_parser),
        ("--reasoning-parser", getattr(parsed, "reasoning_parser", None), ReasoningParserManager.get_reasoning_parser),
    ):
        if name:
            try:
                look_up(name)
            except Exception as error:
                raise ArgumentFault(f"argument {option}: {error}") from error


def main() -> None:
    """Print {"fault": …} on the last line; the fault is null when the arguments are good."""
    # vLLM logs to standard output while it is imported.
    os.environ.update(VLLM_CONFIGURE_LOGGING="0", VLLM_NO_USAGE_STATS="1")
    fault = None
    with contextlib.redirect_stdout(sys.stderr):
        try:
            use_cpu_where_no_gpu_is()
            check(sys.argv[1:])
        except ArgumentFault as error:
            fault = str(error)
    sys.stdout.write(json.dumps({"fault": fault}) + "\n")


if __name__ == "__main__":
    main()
