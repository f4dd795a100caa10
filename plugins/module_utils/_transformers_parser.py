# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real `transformers serve` parser of the interpreter's own release of Transformers.

The file is also a program: a release's Python reads it from standard input, with the arguments of `transformers serve`, and it prints the
parser's error as JSON, like _vllm_parser.py for vLLM.
"""

from __future__ import annotations

import contextlib
import json
import sys
import typing as t


def build() -> t.Any:
    """Return the `serve` command. The app is a Typer or, in newer versions, the command that Typer builds from one."""
    from transformers.cli.transformers import app

    if not hasattr(app, "commands"):
        import typer

        app = typer.main.get_command(app)
    return app.commands["serve"]


def error_of(arguments: list[str]) -> str | None:
    """Return the parser's error about arguments, None when they are valid. Loads and starts nothing."""
    try:
        build().make_context("serve", list(arguments))
    except Exception as error:
        # Exceptions of click, which newer versions of Typer contain under another name.
        if not hasattr(error, "format_message"):
            raise
        return error.format_message().splitlines()[0]
    return None


def main() -> None:
    """Print {"error": …, "depth": …} on the last line."""
    with contextlib.redirect_stdout(sys.stderr):
        error = error_of(sys.argv[1:])
    sys.stdout.write(json.dumps({"error": error, "depth": 0}) + "\n")


if __name__ == "__main__":
    main()
