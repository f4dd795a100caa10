# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What happens inside an engine."""

from __future__ import annotations

from .grafana import BAD, SERVICE, WARN, Dashboard, Panel
from .service import quantiles


def per_second(name: str, by: str = "service") -> str:
    """Rate of a counter."""
    return f"sum by ({by}) (rate({name}{{{SERVICE}}}[$__rate_interval]))"


def mean(name: str) -> str:
    """Mean of a histogram."""
    return f"{per_second(name + '_sum')} / ({per_second(name + '_count')} > 0)"


BOARD = Dashboard(
    uid="inferops-engine",
    title="Inferops / Engine",
    description="Queue, prefill and decode, KV cache, prefix cache, preemptions and speculation of vLLM.",
    rows=[
        (
            "Tokens",
            [
                Panel(
                    "Prompt and generated tokens",
                    "Tokens per second that the engine has computed or taken from its cache, and generated.",
                    "short",
                    [(per_second("vllm:prompt_tokens_total"), "{{service}} prompt"), (per_second("vllm:generation_tokens_total"), "{{service}} generated")],
                ),
                Panel(
                    "Tokens per step",
                    "Median and 99 % of the tokens of one step of the engine: the size of its batches.",
                    "short",
                    [(query, legend) for query, legend in quantiles("vllm:iteration_tokens_total") if "p90" not in legend],
                ),
                Panel("Time between tokens", "Of one request, while it generates.", "s", quantiles("inferops:inter_token_latency_seconds")),
            ],
        ),
        (
            "Where requests spend their time",
            [
                Panel(
                    "Queue, prefill, decode",
                    "Mean seconds of a request in each phase. They add up to its time in the engine.",
                    "s",
                    [
                        (mean("vllm:request_queue_time_seconds"), "{{service}} queue"),
                        (mean("vllm:request_prefill_time_seconds"), "{{service}} prefill"),
                        (mean("vllm:request_decode_time_seconds"), "{{service}} decode"),
                    ],
                    stacked=True,
                ),
                Panel(
                    "Running and waiting",
                    "Requests that the engine computes, and that wait.",
                    "short",
                    [
                        (f"sum by (service) (vllm:num_requests_running{{{SERVICE}}})", "{{service}} running"),
                        (f"sum by (service) (vllm:num_requests_waiting{{{SERVICE}}})", "{{service}} waiting"),
                    ],
                ),
                Panel(
                    "Finish reasons",
                    "stop: the model ended; length: max_tokens or the context was reached; error: answered with 500. Aborted ones may not be counted.",
                    "reqps",
                    [(per_second("vllm:request_success_total", "service, finished_reason"), "{{service}} {{finished_reason}}")],
                    stacked=True,
                ),
                Panel("Length of prompts", "Tokens.", "short", quantiles("vllm:request_prompt_tokens")),
                Panel("Length of answers", "Tokens.", "short", quantiles("vllm:request_generation_tokens")),
                Panel(
                    "max_tokens of requests",
                    "What clients ask for. Far above the answers' length is no problem.",
                    "short",
                    quantiles("vllm:request_params_max_tokens"),
                ),
            ],
        ),
        (
            "Cache",
            [
                Panel(
                    "KV cache in use",
                    "A full cache is no problem as long as nothing waits and nothing is preempted.",
                    "percentunit",
                    [(f"max by (service, host) (inferops:kv_cache_usage_ratio{{{SERVICE}}})", "{{service}} {{host}}")],
                    most=1,
                    steps=[(0.95, WARN)],
                ),
                Panel(
                    "Hits of the prefix cache",
                    "Share of the tokens of prompts that were found in the cache.",
                    "percentunit",
                    [(f"{per_second('inferops:prefix_cache_hits_total')} / ({per_second('inferops:prefix_cache_queries_total')} > 0)", "{{service}}")],
                    most=1,
                ),
                Panel(
                    "Preemptions",
                    "Requests per second that had to make room and are computed again.",
                    "short",
                    [(per_second("vllm:num_preemptions_total"), "{{service}}")],
                    steps=[(0.1, WARN), (1, BAD)],
                ),
            ],
        ),
        (
            "Speculative decoding",
            [
                Panel(
                    "Accepted of drafted tokens",
                    "Only with speculative_config.",
                    "percentunit",
                    [
                        (
                            f"{per_second('vllm:spec_decode_num_accepted_tokens_total')} / ({per_second('vllm:spec_decode_num_draft_tokens_total')} > 0)",
                            "{{service}}",
                        )
                    ],
                    most=1,
                ),
                Panel(
                    "Tokens per step of the model",
                    "Mean number of accepted tokens of a draft, and the one that the model adds.",
                    "short",
                    [
                        (
                            f"1 + {per_second('vllm:spec_decode_num_accepted_tokens_total')} / ({per_second('vllm:spec_decode_num_drafts_total')} > 0)",
                            "{{service}}",
                        )
                    ],
                ),
                Panel(
                    "Accepted by position",
                    "Share of drafts whose token at this position was accepted.",
                    "percentunit",
                    [
                        (
                            f"{per_second('vllm:spec_decode_num_accepted_tokens_per_pos_total', 'service, position')} / on (service) group_left ()"
                            f" ({per_second('vllm:spec_decode_num_drafts_total')} > 0)",
                            "{{service}} {{position}}",
                        )
                    ],
                    most=1,
                ),
            ],
        ),
    ],
)
