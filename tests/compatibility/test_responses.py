# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LangChain's standard tests of a chat model, as they are, against the service's C(/v1/responses)."""

from __future__ import annotations

from typing import Any

from test_chat_completions import TestChatCompletions as _ChatCompletions


class TestResponses(_ChatCompletions):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}
