# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command C(vllm serve)."""

from __future__ import annotations

import argparse
import typing as t

from small_engine import arguments


class Serve:
    """The command, as vLLM's own entry point describes it."""

    def subparser_init(self, subparsers: t.Any) -> argparse.ArgumentParser:
        """Add the command to a parser."""
        return arguments.add_arguments(subparsers.add_parser("serve"))

    def validate(self, options: argparse.Namespace) -> None:
        """Check what a parser cannot. Raises ValueError."""
        if options.headless and options.api_server_count:
            raise ValueError("--api-server-count cannot be used with --headless")


def cmd_init() -> list[Serve]:
    """The commands of this module."""
    return [Serve()]
