# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors as people read them, without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import (
    HIDDEN,
    PlanError,
    PlanWarning,
    is_secret_name,
    nearest,
    render_errors,
    render_warnings,
    shown,
)


@pytest.mark.parametrize(
    "name", ["api_key", "api-key", "API_KEY", "VLLM_API_KEY", "HF_TOKEN", "hf_token", "secret_environment", "db_password", "api_keys", "key"]
)
def test_secret_names(name: str) -> None:
    """Names that hold secrets."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["max_num_batched_tokens", "tokenizer", "kv_cache_dtype", "keyboard", "monkey", "model", "", 5])
def test_names_of_no_secret(name: Any) -> None:
    """Names that only look a little like it."""
    assert not is_secret_name(name)


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (SECRET, "api_key"),
        ([SECRET], "HF_TOKEN"),
        ({"api_key": SECRET}, "model_services"),
        ([{"secret_environment": {"X": SECRET}}], ""),
        (f"name: a api_key: {SECRET}", ""),
        (f"https://user:{SECRET}@example.com/simple", "host_index_url"),
        ([f"https://user:{SECRET}@example.com/simple"], "host_extra_index_urls"),
        (f"sk-{SECRET}", "nmae"),
    ],
)
def test_secrets_are_not_shown(value: Any, name: str) -> None:
    """Wherever a secret stands."""
    assert SECRET not in shown(value, name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("plain", "plain"), (5, "5"), (None, "null"), ([0, 9], "[0, 9]"), (True, "true"), ("a\nb", "a\N{REPLACEMENT CHARACTER}b"), ("a" * 121, "a" * 120 + "…")],
)
def test_values_are_shown_short_and_on_one_line(value: Any, expected: str) -> None:
    """What is no secret is shown."""
    assert shown(value) == expected


def test_a_null_is_no_secret() -> None:
    """An empty key is worth seeing."""
    assert shown(None, "api_key") == "null"
    assert shown("x", "api_key") == HIDDEN


def test_nearest_names() -> None:
    """The nearest come first, and those far behind the best are left out."""
    choices = ["max_model_len", "max_log_len", "max_num_seqs", "quantization"]
    assert nearest("max_modle_len", choices) == ["max_model_len"]
    assert nearest("MAX_MODEL_LEN", choices) == ["max_model_len"]
    assert nearest("zzz", choices) == []


def error(host: str = "gpu1", key: str = "port") -> PlanError:
    """Some error."""
    return PlanError(host, "qwen", key, "80", "why not", "do this")


def test_all_errors_in_one_text() -> None:
    """Each says where it is and what to do."""
    text = render_errors([error(), error(key="gpus")])
    assert text.startswith("2 errors in the plan; nothing was changed.\n")
    for line in ("  host:    gpu1", "  service: qwen", "  key:     port", "  value:   80", "  why:     why not", "  fix:     do this", "  key:     gpus"):
        assert line in text.split("\n")
    assert render_errors([error()]).startswith("1 error in the plan;")


def test_one_error_on_many_hosts_is_one_block() -> None:
    """A group's variable is wrong once, however many hosts the group has."""
    text = render_errors([error(f"gpu{number}") for number in range(9)])
    assert text.startswith("1 error ") and "gpu0, gpu1, gpu2, gpu3 and 5 more" in text


def test_one_warning_on_many_hosts_is_one_sentence() -> None:
    """Likewise for warnings."""
    assert render_warnings([PlanWarning("a", "s", "text"), PlanWarning("b", "s", "text"), PlanWarning("b", "", "other")]) == ["a, b / s: text", "b: other"]
