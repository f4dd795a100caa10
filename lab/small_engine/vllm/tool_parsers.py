# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tool parsers by name."""

from __future__ import annotations

from vllm.reasoning import Parser

NAMES = ("hermes", "qwen3_coder")


class ToolParserManager:
    """Those that the lab's models use."""

    @classmethod
    def get_tool_parser(cls, name: str) -> type:
        """The parser of this name. Raises KeyError."""
        if name not in NAMES:
            raise KeyError(f"invalid tool call parser: {name} (chose from {{ {','.join(NAMES)} }})")
        return Parser
