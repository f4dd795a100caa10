# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings: defaults of the roles, and a host's variables over them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import settings

WRONG: list[tuple[str, Any]] = [
    ("host_user", "root"),
    ("host_home", "here"),
    ("host_index_url", 5),
    ("host_find_links", "a"),
    ("vllm_version", 0.33),
    ("vllm_requirements", ["vllm==0.31.0"]),
    ("vllm_requirements", ["vllm"]),
    ("vllm_python", ""),
    ("weights_endpoints", []),
    ("weights_endpoints", ["huggingface.co"]),
    ("weights_endpoints", ["modelscope+modelscope.cn"]),
    ("weights_endpoints", ["modelscope+modelscope+https://modelscope.cn"]),
    ("weights_exclude", [1]),
    ("weights_disk_reserve", -1),
    ("weights_include", "*.json"),
    ("weights_token_endpoints", ["hub"]),
    ("weights_max_workers", 0),
    ("weights_max_workers", 65),
    ("weights_min_rate", -1),
    ("weights_rate_seconds", 0),
    ("weights_stall_timeout", "long"),
    ("weights_timeout", 0),
    ("weights_share", "peers"),
    ("weights_share_port", 80),
    ("weights_share_interface", "an interface"),
    ("weights_share_stall_timeout", 0),
    ("weights_offline", "sometimes"),
    ("weights_mirror_host", 5),
    ("weights_mirror_port", "http"),
    ("weights_mirror_address", "http://cache1/"),
    ("plan_check_disk", "perhaps"),
    ("model_service_start_timeout", 0),
    ("model_service_shutdown_timeout", -1),
    ("model_service_environment", []),
]


def test_every_setting_has_a_default(defaults: dict[str, Any]) -> None:
    """What the plan reads is in some role's defaults, as it stands."""
    read, errors = settings.read("gpu1", defaults, {})
    assert errors == []
    assert read.vllm_version.text == defaults["vllm_version"]
    assert read.weights_dir == defaults["weights_dir"]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_values(defaults: dict[str, Any], name: str, value: Any) -> None:
    """A wrong value is one error that names it, and the default stands in."""
    read, errors = settings.read("gpu1", defaults, {name: value})
    assert [(error.host, error.service, error.key) for error in errors] == [("gpu1", "", name)]
    assert read == settings.read("gpu1", defaults, {})[0]


def test_right_values(defaults: dict[str, Any]) -> None:
    """A host's variables count; numbers may come as text, and endpoints with a slash at the end."""
    variables = {
        "vllm_version": "0.31.0",
        "model_service_start_timeout": "900",
        "weights_endpoints": ["http://mirror/"],
        "vllm_requirements": ["vllm-plugin==1", "flashinfer-cubin==0.6.4"],
    }
    read, errors = settings.read("gpu1", defaults, variables)
    assert errors == []
    assert (read.vllm_version.text, read.model_service_start_timeout, read.weights_endpoints) == ("0.31.0", 900, ("http://mirror",))


def test_a_missing_default_is_not_the_users_error(defaults: dict[str, Any]) -> None:
    """A role that forgets a default, or has a wrong one, is found at once."""
    for broken in ({name: value for name, value in defaults.items() if name != "weights_dir"}, {**defaults, "weights_dir": "here"}):
        with pytest.raises(settings.MissingDefault, match="weights_dir"):
            settings.read("gpu1", broken, {})
