# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What counts as work in an engine's metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _openai_api
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import metrics

# As vLLM 0.32.0 writes them.
TEXT = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 30.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 30.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1000.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
vllm:generation_tokens_total{engine="0",model_name="m"} 1e+02
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 5.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 7.0
"""


def read(text: str) -> metrics.Metrics | None:
    api: Any = SimpleNamespace(read=lambda path, timeout: text.encode())
    return metrics.read(api)


def test_all_engines_count() -> None:
    assert read(TEXT) == (1105.0, 3, 30)


def test_a_request_that_was_given_up_is_no_work() -> None:
    """The client has left, perhaps since the engine hangs."""
    assert read(TEXT.replace("} 7.0", "} 8.0")) == read(TEXT)


@pytest.mark.parametrize("text", ["", "process_cpu_seconds_total 5\n", "vllm:prompt_tokens_total 1e\n", "vllm:prompt_tokens_total x\n",
                                  "vllm:prompt_tokens_total 1\nvllm:num_requests_running inf\n", "vllm:prompt_tokens_total 1\nvllm:num_requests_running nan\n"])
def test_what_are_no_metrics(text: str) -> None:
    assert read(text) is None


def test_a_server_that_has_none() -> None:
    def refuse(path: str, timeout: float) -> bytes:
        raise _openai_api.ApiError("404", 404)

    api: Any = SimpleNamespace(read=refuse)
    assert metrics.read(api) is None
