# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parsers by the format that a chat template writes. The templates are excerpts in the form of the models named."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.models import chat_templates
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import FlagTable
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import parse

TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
QWEN3 = (
    TOOLS + "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>{% if '</think>' in content %}{% endif %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{% endif %}{% endif %}"
)
INSTRUCT = TOOLS + "<tool_call>\n{\"name\": <function-name>}\n</tool_call>{% if '</think>' in content %}{% endif %}{%- if add_generation_prompt %}assistant\n{% endif %}"
THINKING = INSTRUCT.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
CODER = TOOLS + "<tool_call>\n<function=example_function_name>\n<parameter=a>\n</function>\n</tool_call>{% if add_generation_prompt %}assistant{% endif %}"
GLM = TOOLS + "<tool_call>{function-name}\n<arg_key>{k}</arg_key>\n<arg_value>v</arg_value>{% if enable_thinking is false %}/nothink{% endif %}<think></think>"
MISTRAL = "{% if tools %}[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]{% if add_generation_prompt %}{% endif %}"
GPT_OSS = TOOLS + "Reasoning: {{ reasoning_effort }}<|start|>assistant<|channel|>commentary to=functions.x <|constrain|>json<|message|><|channel|>analysis"
DEEPSEEK_R1 = "<｜Assistant｜><｜tool▁calls▁begin｜>```json{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
DEEPSEEK_V31 = TOOLS + "<｜tool▁calls▁begin｜>{% if add_generation_prompt %}<｜Assistant｜>{% if not thinking %}</think>{% else %}<think>{% endif %}{% endif %}"
KIMI = TOOLS + "<|tool_calls_section_begin|>{% if add_generation_prompt %}<|im_assistant|>{% if thinking is false %}<think></think>{% else %}<think>{% endif %}{% endif %}"
GEMMA4 = TOOLS + "<|tool_call>call:f{}<tool_call|>{% if enable_thinking %}<|channel>thought<channel|>{% endif %}"
LLAMA = "{% if tools is not none %}{{ tools }}{% endif %}<|python_tag|>{% if add_generation_prompt %}assistant{% endif %}"

CASES = [
    ("Qwen3", QWEN3, "hermes", "qwen3"),
    ("Qwen3-Instruct-2507", INSTRUCT, "hermes", None),
    ("Qwen3-Thinking-2507", THINKING, "hermes", "qwen3"),
    ("Qwen3-Coder", CODER, "qwen3_coder", None),
    ("GLM-4.7", GLM, "glm47", "glm45"),
    ("Mistral", MISTRAL, "mistral", None),
    ("gpt-oss", GPT_OSS, "openai", "openai_gptoss"),
    ("DeepSeek-R1 calls no tools", DEEPSEEK_R1, None, "deepseek_r1"),
    ("DeepSeek-V3.1", DEEPSEEK_V31, "deepseek_v31", "deepseek_v3"),
    ("Kimi-K2.5", KIMI, "kimi_k2", "kimi_k2"),
    ("Gemma 4", GEMMA4, "gemma4", "gemma4"),
    ("Llama 3.1", LLAMA, "llama3_json", None),
    ("plain", "{% for message in messages %}{{ message.content }}{% endfor %}", None, None),
    ("a format that nobody knows", TOOLS + "<call>", None, None),
    ("nothing", "", None, None),
]


@pytest.mark.parametrize(("template", "tool", "reasoning"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_parsers(template: str, tool: str | None, reasoning: str | None) -> None:
    found = (next(iter(chat_templates.tool_parsers(template)), None), next(iter(chat_templates.reasoning_parsers(template)), None))
    assert found == (tool, reasoning)


def test_every_parser_is_one_of_vllms(flags: FlagTable, flag_data: dict[str, Any]) -> None:
    """Of the newest version, or of one before: a name mistyped would never be proposed."""
    newest = parse(flag_data["versions"][-1])
    assert newest is not None
    for section, formats in (("tool_call_parsers", chat_templates._TOOLS), ("reasoning_parsers", chat_templates._REASONING)):
        for _words, parsers in formats:
            assert all(flags.ask(section, name, newest).state in ("known", "gone") for name in parsers), parsers


def test_parsers_of_several_names() -> None:
    """Each reads the format; of a parser that is in no list nothing is known."""
    assert {"minimax_m2_append_think", "llama4_json", "mistral"} <= chat_templates.KNOWN
    assert "deepseek_r1" in chat_templates.reasoning_parsers(THINKING) and "llama4_json" in chat_templates.tool_parsers(LLAMA)
    assert not {"hunyuan_a13b", "granite"} & chat_templates.KNOWN
