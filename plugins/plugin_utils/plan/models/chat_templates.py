# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chat template says about a model: the formats of its tool calls and its reasoning, and vLLM's parsers for them.

The words are those that the parsers of vLLM 0.32.0 look for in the answer (C(vllm/tool_parsers), C(vllm/parser), C(vllm/reasoning)); a template writes them
too, where it renders earlier turns or describes the format to the model.
"""

from __future__ import annotations

import re

# Parsers by the words that a template with their format contains, all of them. The first match is used; of its parsers, all read the format, and which
# is right depends on the model.
_Formats = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

_TOOLS: _Formats = (
    (("<|tool_calls_section_begin|>",), ("kimi_k2",)),
    (("<minimax:tool_call>",), ("minimax_m2",)),
    (("]<]minimax[>[",), ("minimax_m3",)),
    (("｜DSML｜", "tool_calls>"), ("deepseek_v4", "deepseek_v41")),
    (("｜DSML｜",), ("deepseek_v32",)),
    (("<｜tool▁calls▁begin｜>", "```json"), ("deepseek_v3",)),
    (("<｜tool▁calls▁begin｜>",), ("deepseek_v31",)),
    (("<seed:tool_call>",), ("seed_oss",)),
    (("<longcat_tool_call>",), ("longcat",)),
    (("<tool_call>", "<arg_key>"), ("glm47", "glm45")),
    (("<tool_call>", "<function="), ("qwen3_coder", "qwen3_xml", "step3p5", "mimo")),
    (("<|channel|>", "<|constrain|>"), ("openai",)),
    (("<|tool_call>", "<tool_call|>"), ("gemma4",)),
    (("[TOOL_CALLS]",), ("mistral",)),
    (("<|tool_call_start|>",), ("lfm2",)),
    (("<start_function_call>",), ("functiongemma",)),
    (("<|tools_prefix|>",), ("apertus",)),
    (("<|plamo:begin_tool_request",), ("plamo3",)),
    (("<ifm|tool_call>",), ("k2_horizon",)),
    (("<dots_function_call>",), ("dots",)),
    (("<tool_call>",), ("hermes", "qwen3_json")),
    (("<|python_tag|>",), ("llama3_json", "llama4_json")),
)

_REASONING: _Formats = (
    (("<|channel|>analysis",), ("openai_gptoss",)),
    (("<|channel|>", "<|constrain|>"), ("openai_gptoss",)),
    (("<|channel>",), ("gemma4",)),
    (("<seed:think>",), ("seed_oss",)),
    (("[THINK]",), ("mistral",)),
    (("<|tool_calls_section_begin|>", "<think>"), ("kimi_k2",)),
    (("<minimax:tool_call>", "<think>"), ("minimax_m2", "minimax_m2_append_think")),
    (("｜DSML｜", "</think>"), ("deepseek_v4", "deepseek_v3")),
    (("<｜Assistant｜>", "thinking", "</think>"), ("deepseek_v3",)),
    (("<｜Assistant｜>", "<think>"), ("deepseek_r1",)),
    (("<arg_key>", "<think>"), ("glm45", "glm47")),
    (("<think>",), ("qwen3", "deepseek_r1", "nemotron_v3", "step3p5", "mimo")),
)

# Parsers whose format is known here. One that is not may read any.
KNOWN = frozenset(parser for formats in (_TOOLS, _REASONING) for _words, parsers in formats for parser in parsers)

# A template mentions thoughts of earlier turns even where the model has none. It has some if a switch turns them off, or the prompt opens one.
_SWITCHES = re.compile(r"\b(?:enable_thinking|thinking|thinking_mode|reasoning_effort|reasoning_strategy)\b")
_PROMPT = re.compile(r"add_generation_prompt(?:(?!add_generation_prompt).)*$", re.DOTALL)
_OPENINGS = ("<think>", "<seed:think>", "[THINK]", "<|channel")
# A model calls tools if its template renders those that a request defines.
_DEFINES_TOOLS = re.compile(r"\btools\b")


def tool_parsers(template: str) -> tuple[str, ...]:
    """Names of vLLM's parsers for the tool calls that a template renders; empty when it renders none, or in an unknown format."""
    return _first(_TOOLS, template) if _DEFINES_TOOLS.search(template) else ()


def reasoning_parsers(template: str) -> tuple[str, ...]:
    """Names of vLLM's parsers for the reasoning of a template's model; empty when it does not reason, or in an unknown format."""
    return _first(_REASONING, template) if opens_reasoning(template) or _SWITCHES.search(template) else ()


def opens_reasoning(template: str) -> bool:
    """Whether the prompt itself opens the reasoning, whatever a request says or unless it switches that off."""
    prompt = _PROMPT.search(template)
    return prompt is not None and any(word in prompt[0] for word in _OPENINGS)


def _first(formats: _Formats, template: str) -> tuple[str, ...]:
    return next((parsers for words, parsers in formats if all(word in template for word in words)), ())
