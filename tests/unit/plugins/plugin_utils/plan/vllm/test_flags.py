# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of flags: what a version knows, and what is said of one that is not listed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import Version, parse
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm.flags import Answer, FlagTable, Section, flag, flag_key


def version(text: str) -> Version:
    """A version that is one."""
    found = parse(text)
    assert found is not None
    return found


CASES: list[tuple[Section, str, str, Answer]] = [
    ("flags", "--max-model-len", "0.32.0", Answer("known")),
    ("flags", "--max-model-len", "0.32.0+cpu", Answer("known")),
    ("flags", "--max-model-length", "0.32.0", Answer("unknown")),
    ("flags", "--disable-log-requests", "0.16.0", Answer("known")),
    ("flags", "--disable-log-requests", "0.17.0", Answer("gone", "0.17.0")),
    ("flags", "--shutdown-timeout", "0.17.1", Answer("not yet", "0.18.0")),
    ("flags", "--shutdown-timeout", "0.18.0", Answer("known")),
    ("tool_call_parsers", "glm47", "0.13.0", Answer("not yet", "0.14.0")),
    ("tool_call_parsers", "glm47", "0.14.0", Answer("known")),
    ("reasoning_parsers", "glm47", "0.23.0", Answer("not yet", "0.24.0")),
    ("environment", "VLLM_ATTENTION_BACKEND", "0.14.1", Answer("known")),
    ("environment", "VLLM_ATTENTION_BACKEND", "0.15.0", Answer("gone", "0.15.0")),
    ("flags", "--disable-log-requests", "0.20.0", Answer("gone", "0.17.0")),
    ("flags", "--disable-log-requests", "0.33.0", Answer("known")),
    ("flags", "--disable-prefix-caching", "0.32.0", Answer("not yet", "0.33.0")),
    # A variable that two versions in the middle lack.
    ("environment", "VLLM_ROCM_USE_AITER_FP4_ASM_GEMM", "0.28.0", Answer("known")),
    ("environment", "VLLM_ROCM_USE_AITER_FP4_ASM_GEMM", "0.29.0", Answer("gone", "0.29.0")),
    ("environment", "VLLM_ROCM_USE_AITER_FP4_ASM_GEMM", "0.31.0", Answer("known")),
    # Versions between, after and before those listed: the nearest lower one answers, else the oldest.
    ("flags", "--shutdown-timeout", "0.18.9", Answer("known")),
    ("flags", "--max-model-len", "0.99.0", Answer("known")),
    ("flags", "--disable-log-requests", "0.1.0", Answer("known")),
]


@pytest.mark.parametrize(("section", "name", "text", "answer"), CASES)
def test_answers(flags: FlagTable, section: Section, name: str, text: str, answer: Answer) -> None:
    """Each name in its versions."""
    assert flags.ask(section, name, version(text)) == answer


@pytest.mark.parametrize(
    ("text", "covered", "basis"),
    [("0.32.0", True, "0.32.0"), ("0.32.0+cpu", True, "0.32.0"), ("0.32.1", False, "0.32.0"), ("0.99.0", False, "newest"), ("0.1.0", False, "0.8.5")],
)
def test_basis(flags: FlagTable, flag_data: dict[str, Any], text: str, covered: bool, basis: str) -> None:
    """Which listed version answers."""
    basis = flag_data["versions"][-1] if basis == "newest" else basis
    assert flags.covers(version(text)) is covered
    assert flags.basis(version(text)).text == basis


def test_nearest_are_known_and_spelt_as_keys(flags: FlagTable) -> None:
    """No flag is offered that the version has not, and none with dashes."""
    assert flags.nearest("flags", "max_modle_len", version("0.32.0")) == ["max_model_len"]
    assert "disable_log_requests" not in flags.nearest("flags", "disable_log_request", version("0.32.0"))


@pytest.mark.parametrize(
    ("key", "name"), [("max_model_len", "--max-model-len"), ("seed", "--seed"), ("hf_overrides.rope_scaling", "--hf-overrides.rope_scaling")]
)
def test_spelling(key: str, name: str) -> None:
    """Underscores become dashes, up to a dot."""
    assert flag(key) == name
    assert "." in key or flag_key(name) == key
