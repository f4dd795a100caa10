# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What engines report: recorded metrics of vLLM, several engines, old names, and servers that are none."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils._status import metrics

# vLLM 0.32.0 with data parallel 2, shortened.
VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a"} 3.0
vllm:num_requests_running{engine="1",model_name="a"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a"} 0.5
vllm:prompt_tokens_total{engine="0",model_name="a"} 1000.0
vllm:generation_tokens_total{engine="0",model_name="a"} 2.0e3
vllm:generation_tokens_total{engine="1",model_name="a"} 500.0
vllm:request_success_total{engine="0",finished_reason="stop"} 7.0
"""


def test_all_engines_count() -> None:
    assert metrics.parse(VLLM, 5.0) == metrics.Reading(5.0, 5.0, 1.0, 0.5, 1000.0, 2500.0)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("", metrics.Reading(0.0, None, None, None, None, None)),
        ("vllm:gpu_cache_usage_perc 0.75\n", metrics.Reading(0.0, None, None, 0.75, None, None)),
        ("vllm:kv_cache_usage_perc 7\nvllm:num_requests_running NaN\n", metrics.Reading(0.0, None, None, 1.0, None, None)),
        ("vllm:num_requests_running abc\nvllm:num_requests_waiting -1\nvllm:prompt_tokens_total +Inf\n", metrics.Reading(0.0, None, None, None, None, None)),
    ],
)
def test_other_texts(text: str, reading: metrics.Reading) -> None:
    assert metrics.parse(text, 0.0) == reading


def test_tokens_per_second() -> None:
    first, second = metrics.parse(VLLM, 10.0), metrics.parse(VLLM.replace("2.0e3", "2.1e3").replace("1000.0", "900.0"), 12.0)
    found = metrics.combine(first, second)
    assert (found["generation_tokens_per_second"], found["kv_cache_used"], found["requests_running"]) == (50.0, 0.5, 5)
    # A counter that has decreased is that of a new process.
    assert found["prompt_tokens_per_second"] is None


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8001", True), ("http://[::1]:8001", None), ("http://192.0.2.1:8001", False), ("http://example.org:80", False), ("", False),
        ("http://[bad", False),
    ],
)
def test_only_addresses_of_this_host(url: str, local: bool | None) -> None:
    assert local is None or metrics.is_local(url) is local


class Server(http.server.BaseHTTPRequestHandler):
    """Counts up with each request; C(status) and C(text) are set by the test."""

    status, text, tokens = 200, "", 0

    def do_GET(self) -> None:
        type(self).tokens += 100
        data = (self.text or f"vllm:generation_tokens_total {self.tokens}\n").encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}", handler
        made.shutdown()


def test_engines_are_read_side_by_side(server: tuple[str, type[Server]]) -> None:
    found = metrics.read({"a": server[0], "b": "http://127.0.0.1:9", "c": "http://192.0.2.1:80"}, between=0.1)
    assert found["a"]["generation_tokens_per_second"] > 0 and found["a"]["error"] == ""
    assert "/metrics" in found["b"]["error"] and "not an address of this host" in found["c"]["error"]


@pytest.mark.parametrize(("status", "error"), [(404, ""), (500, "answered 500")])
def test_an_engine_without_metrics_answers(server: tuple[str, type[Server]], status: int, error: str) -> None:
    server[1].status, server[1].text = status, "\x1b[31mno"
    found = metrics.read({"a": server[0]}, between=0.0)["a"]
    assert error in found["error"] and bool(error) == bool(found["error"]) and "\x1b" not in found["error"]
    assert found["requests_running"] is None
