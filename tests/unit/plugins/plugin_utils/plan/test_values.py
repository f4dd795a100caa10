# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readers of single values, on both sides of each bound."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import values
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.errors import InvalidValue

TAKEN: list[tuple[values.Reader, Any, Any]] = [
    (values.string, "", ""),
    (values.string, "a" * 4096, "a" * 4096),
    (values.word, "a", "a"),
    (values.integer(1, 5), 1, 1),
    (values.integer(1, 5), 5, 5),
    (values.integer(1, 5), "5", 5),
    (values.integer(-5, 5), "-5", -5),
    (values.boolean, True, True),
    (values.boolean, "False", False),
    (values.path, "/var/lib/inferops", "/var/lib/inferops"),
    (values.path, "/var/lib/", "/var/lib"),
    (values.strings, [], ()),
    (values.strings, ["a", ""], ("a", "")),
    (values.account, "_a-1", "_a-1"),
    (values.account, "a" * 32, "a" * 32),
    (values.revision, "main", "main"),
    (values.revision, "refs/pr/3", "refs/pr/3"),
    (values.repo, "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
    (values.service_name, "a", "a"),
    (values.service_name, "0" + "a" * 62, "0" + "a" * 62),
    (values.bind_address, "0.0.0.0", "0.0.0.0"),
    (values.bind_address, "0:0::0", "::"),
    (values.bind_address, "gpu1.example", "gpu1.example"),
    (values.gpu_indexes, [0, "1"], (0, 1)),
    (values.gpu_indexes, [1023], (1023,)),
    (values.mapping, {}, {}),
    (values.environment_value, True, "1"),
    (values.environment_value, False, "0"),
    (values.environment_value, 5, "5"),
    (values.environment_value, 0.5, "0.5"),
    (values.environment_value, "a b", "a b"),
]

REFUSED: list[tuple[values.Reader, Any]] = [
    (values.string, 5),
    (values.string, None),
    (values.string, "a\nb"),
    (values.string, "a\0"),
    (values.string, "a" * 4097),
    (values.word, ""),
    (values.word, "a b"),
    (values.integer(1, 5), 0),
    (values.integer(1, 5), 6),
    (values.integer(1, 5), True),
    (values.integer(1, 5), 2.0),
    (values.integer(1, 5), "two"),
    (values.integer(1, 5), ""),
    (values.integer(1, 5), "--3"),
    (values.integer(1, 5), "9" * 5000),
    (values.boolean, 1),
    (values.boolean, "maybe"),
    (values.path, "/"),
    (values.path, "relative"),
    (values.path, "/a/../b"),
    (values.path, "/a b"),
    (values.path, "/a//b"),
    (values.path, "/a%n"),
    (values.strings, "a"),
    (values.strings, [1]),
    (values.account, "root"),
    (values.account, "Upper"),
    (values.account, "a" * 33),
    (values.account, ""),
    (values.version, 0.33),
    (values.version, "latest"),
    (values.version, None),
    (values.revision, "../main"),
    (values.revision, "/main"),
    (values.revision, ""),
    (values.revision, "a" * 129),
    (values.repo, "Qwen"),
    (values.repo, "a/b/c"),
    (values.repo, "a/.."),
    (values.service_name, ""),
    (values.service_name, "a" * 64),
    (values.service_name, "Qwen"),
    (values.service_name, "-a"),
    (values.service_name, "a_b"),
    (values.service_name, "a/b"),
    (values.service_name, "a..b"),
    (values.bind_address, "256.0.0.1"),
    (values.bind_address, ""),
    (values.bind_address, "a b"),
    (values.gpu_indexes, []),
    (values.gpu_indexes, 4),
    (values.gpu_indexes, [-1]),
    (values.gpu_indexes, [1024]),
    (values.gpu_indexes, [True]),
    (values.mapping, []),
    (values.mapping, {1: 2}),
    (values.environment_value, None),
    (values.environment_value, []),
    (values.environment_value, float("nan")),
    (values.environment_value, 10**18),
    (values.environment_value, "a\nb"),
]


@pytest.mark.parametrize(("reader", "value", "expected"), TAKEN)
def test_taken(reader: values.Reader, value: Any, expected: Any) -> None:
    """Good values are read into their type."""
    found = reader(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(("reader", "value"), REFUSED)
def test_refused(reader: values.Reader, value: Any) -> None:
    """Bad values are refused with a reason and a fix."""
    with pytest.raises(InvalidValue) as refused:
        reader(value)
    assert refused.value.why and refused.value.fix
