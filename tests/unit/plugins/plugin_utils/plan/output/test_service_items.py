# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Items that tasks loop over: units with their states, and directories."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.output import service_items

ACCOUNT = {"user": "inferops-a", "group": "inferops-a"}


def unit(name: str) -> dict[str, Any]:
    given = {"unit": f"{name}.service", "environment_file": f"/e/{name}.env", "served": f"/s/{name}.json", "folders": [f"/f/{name}"]}
    return {**given, "failures": f"/f/{name}", "ray_folder": "/ray/a" if "ray" in name else ""}


def service(state: str = "present", units: tuple[str, ...] = (), former: tuple[str, ...] = ()) -> dict[str, Any]:
    own = {"unit": "vllm-a.service", "environment_file": "/e/a.env", "served": "/s/a.json", "cache": "/c/a"}
    return {
        "name": "a", "state": state, **own, "account": ACCOUNT, "files": {"root": "/files/a"}, "adapters_file": "/e/adapters/a.json",
        "units": [unit(name) for name in units],
        "former_units": [unit(name) for name in former],
    }


def test_one_host() -> None:
    """The files that the controller copied go with the last unit."""
    (present,) = service_items.unit_states(service(units=("vllm-a",)))
    assert (present["unit"], present["state"], present["folders"], present["account"]) == (
        "vllm-a.service", "present", ["/f/vllm-a", "/files/a", "/e/adapters/a.json"], "inferops-a",
    )
    (absent,) = service_items.unit_states(service("absent", former=("vllm-a",)))
    assert (absent["unit"], absent["state"], absent["folders"]) == ("vllm-a.service", "absent", ["/f/vllm-a", "/files/a", "/e/adapters/a.json"])


def test_the_unit_that_stands_for_a_service_comes_last() -> None:
    """It has the cache. Units of another role go first, since they hold the ports; the account outlives all of them."""
    found = service_items.unit_states(service(units=("vllm-a", "ray-head-a"), former=("ray-worker-a",)))
    assert [(item["unit"], item["state"], item["cache"], item["account"]) for item in found] == [
        ("ray-worker-a.service", "former", None, None), ("ray-head-a.service", "present", None, None),
        ("vllm-a.service", "present", "/c/a", "inferops-a"),
    ]


def test_directories_belong_to_the_account_and_those_above_to_root() -> None:
    """Existing ones keep their owner: a unit takes them over when it starts. The account that all services once shared loses those above."""
    units = [unit("vllm-a"), unit("ray-head-a")]
    items = {item.pop("path"): item for item in service_items.directories(ACCOUNT, "/c/a", units, "inferops")}
    own = {"owner": "inferops-a", "group": "inferops-a", "mode": "0750", "keep": True, "of": ["inferops-a", "inferops"]}
    above = {"mode": "0755", "keep": True, "former": "inferops"}
    assert items == {
        "/c": above, "/c/a": own, "/f": above, "/f/vllm-a": own, "/f/ray-head-a": own,
        "/ray": above, "/ray/a": {"owner": "root", "group": "inferops-a", "mode": "0770", "keep": True, "of": ["inferops-a", "inferops"]},
    }


def test_what_a_download_knows_of_sharing() -> None:
    """Nothing, where to show what it has, or whom to copy from."""
    base = {"path": "/m/a--b/r", "name": "a--b-r", "unit": "inferops-weights-a--b-r.service"}
    url = "http://10.0.0.1:8790"
    assert service_items.share_download({**base, "share": {"role": "alone"}}, 5) == {"role": "alone"}
    assert service_items.share_download({**base, "share": {"role": "source"}}, 5) == {"role": "source", "export_dir": "/m/a--b/r.share"}
    assert service_items.share_download({**base, "share": {"role": "follower", "source": "gpu1", "url": url}}, 5) == {
        "role": "follower", "source": "gpu1", "url": f"{url}/a--b-r", "progress": f"{url}/progress/{base['unit']}.json", "stall_timeout": 5,
    }
