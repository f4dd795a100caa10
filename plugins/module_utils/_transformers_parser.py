# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real `transformers serve` parser of whichever release of Transformers the interpreter belongs to.

The file is also a program: fed to a release's Python on standard input, with the arguments of `transformers serve` as its own, it prints what
the parser says against them as JSON, as _vllm_parser.py does for vLLM.
"""

from __future__ import annotations

import contextlib
import json
import sys
import typing as t


def build() -> t.Any:
    """Return the `serve` command. What holds the commands is a Typer or, in newer versions, what Typer makes of one."""
    from transformers.cli.transformers import app

    if not hasattr(app, "commands"):
        import typer

        app = typer.main.get_command(app)
    return app.commands["serve"]


def error_of(arguments: list[str]) -> str | None:
    """Return what the parser says against arguments, None when they are good. Nothing is loaded or started."""
    try:
        build().make_context("serve", list(arguments))
    except Exception as error:
        # Of click, which newer versions of Typer bring under another name.
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
