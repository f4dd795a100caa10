# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LangChain's standard tests of a chat model, as they are, against the service's C(/v1/chat/completions)."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from service import MODEL, RANDOM_WEIGHTS, needs_sense


class TestChatCompletions(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        params: dict[str, Any] = {"model": MODEL, "stream_usage": True}
        # Random weights may end an answer before its first word, at temperature 0 as well: tokens differ with what else is computed.
        return {**params, "extra_body": {"min_tokens": 4}} if RANDOM_WEIGHTS else params

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return MODEL

    # The suite's own way to expect a failure: an override with a mark and a reason. It refuses any other override.
    # vLLM holds a call's arguments to the function's schema only where the function is strict, and these are not.

    @needs_sense("write arguments that match the function")
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_tool_calling(self, model: BaseChatModel) -> None:
        super().test_tool_calling(model)

    @needs_sense("write arguments that match the function")
    async def test_tool_calling_async(self, model: BaseChatModel) -> None:
        await super().test_tool_calling_async(model)

    @needs_sense("write arguments that match the function")
    def test_bind_runnables_as_tools(self, model: BaseChatModel) -> None:
        super().test_bind_runnables_as_tools(model)

    @needs_sense("write arguments that match the function")
    def test_tool_choice(self, model: BaseChatModel) -> None:
        super().test_tool_choice(model)

    @needs_sense("call a function once, without arguments")
    def test_tool_calling_with_no_arguments(self, model: BaseChatModel) -> None:
        super().test_tool_calling_with_no_arguments(model)

    @needs_sense("write arguments that match the function")
    def test_structured_few_shot_examples(self, model: BaseChatModel, my_adder_tool: BaseTool) -> None:
        super().test_structured_few_shot_examples(model, my_adder_tool)

    @needs_sense("write arguments that match the function, which stands for the schema here")
    def test_structured_output_pydantic_2_v1(self, model: BaseChatModel) -> None:
        super().test_structured_output_pydantic_2_v1(model)

    @needs_sense("choose the keys that the question asks for (JSON mode has no schema)")
    def test_json_mode(self, model: BaseChatModel) -> None:
        super().test_json_mode(model)

    @needs_sense("decide to call a function")
    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)

    @needs_sense("repeat a name of the question")
    def test_unicode_tool_call_integration(self, model: BaseChatModel, *, tool_choice: str | None = None, force_tool_call: bool = True) -> None:
        super().test_unicode_tool_call_integration(model, tool_choice=tool_choice, force_tool_call=force_tool_call)
