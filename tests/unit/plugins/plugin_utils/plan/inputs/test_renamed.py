# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that were renamed or are gone: the old name is refused with the new one, or with what to do."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import renamed


def test_old_names_are_refused() -> None:
    found = list(renamed.errors("gpu1", {"ray_token": "s3cr3t", "weights_rate_floor": "{{ x }}", "multi_node_clock_skew": 5}))
    assert [(error.key, error.value, error.fix) for error in found] == [
        ("ray_token", "(hidden)", "rename it to multi_node_token"), ("weights_rate_floor", "{{ x }}", "rename it to weights_min_rate"),
    ]


def test_what_is_gone_is_refused() -> None:
    """Whatever its value: nothing reads it."""
    [error] = renamed.errors("gpu1", {"weights_tool": "curl"})
    assert (error.key, error.value) == ("weights_tool", "curl") and "remove it" in error.fix


def test_new_names_are_variables_and_old_ones_are_not(defaults: dict[str, Any]) -> None:
    assert set(renamed.NAMES.values()) <= set(defaults) and not {*renamed.NAMES, *renamed.RETIRED} & set(defaults)
