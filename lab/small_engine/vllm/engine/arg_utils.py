# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine's configuration."""

from __future__ import annotations

import argparse
import typing as t

from small_engine import arguments


class AsyncEngineArgs:
    """Arguments of an engine."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    @classmethod
    def from_cli_args(cls, options: argparse.Namespace) -> AsyncEngineArgs:
        """The arguments of a parsed command line."""
        return cls(options)

    def create_engine_config(self, usage_context: t.Any = None) -> None:
        """Check them against the model. Raises ValueError."""
        arguments.check_model(self._options)
