# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables as the roles declare them: defaults, and types of those that the plan does not read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.plugin_utils import role_options
from role_specs import ROOT, defaults, role_names


@pytest.fixture(scope="module", name="options")
def _options() -> dict[str, dict[str, Any]]:
    return role_options.read(lambda path: yaml.safe_load((ROOT / path).read_text(encoding="utf-8")))


def test_defaults_are_those_of_the_roles(options: dict[str, dict[str, Any]]) -> None:
    assert role_options.defaults(options) == {name: value for role in role_names() for name, value in defaults(role).items()}


BAD = [
    ("vllm_build_timeout", "soon", "write a whole number"),
    ("host_packages_extra", {"a": 1}, "write a list of str"),
    ("verify_heal", "perhaps", "write true or false"),
    ("cuda_driver_modules", "closed", "write open or proprietary"),
]


@pytest.mark.parametrize(("name", "value", "fix"), BAD)
def test_what_a_role_would_refuse(options: dict[str, dict[str, Any]], name: str, value: Any, fix: str) -> None:
    (found,) = role_options.errors("gpu1", options, {name: value})
    assert (found.host, found.key, found.fix) == ("gpu1", name, fix) and found.why


def test_what_roles_take(options: dict[str, dict[str, Any]]) -> None:
    """As Ansible takes it: numbers as text from the command line, one item for a list."""
    good = {"vllm_build_timeout": "7200", "host_packages_extra": "htop", "verify_heal": "yes", "multi_node_clock_skew": 3}
    assert list(role_options.errors("gpu1", options, good)) == []


def test_secrets_are_not_quoted(options: dict[str, dict[str, Any]]) -> None:
    (found,) = role_options.errors("gpu1", {"x_password": {"type": "int"}}, {"x_password": "s3cr3t"})
    assert "s3cr3t" not in repr(found)
