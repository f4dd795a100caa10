# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of playbooks/status.yml as Ansible calls them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.filter import status

STATUS = {
    "read_at": "2026-11-26T14:00:00+00:00", "units": [], "gpus": [], "disks": [], "downloads": [], "builds": [], "connections": {}, "unmanaged": [], "unread": {},
}


@pytest.mark.parametrize(
    ("services", "states"),
    [
        ([{"name": "a", "api_key": "s3cr3t"}, {"name": "b", "state": "absent"}], [("a", "present"), ("b", "absent")]),
        ([{"name": 5}, {}, "x", {"name": "a", "state": "odd"}], [("a", "present")]), (None, []), ("text", []),
    ],
)
def test_names_and_states_alone(services: Any, states: list[tuple[str, str]]) -> None:
    found = status.service_states(services)
    assert [(item["name"], item["state"]) for item in found] == states and "s3cr3t" not in str(found)


def test_hosts_without_a_result_are_left_out() -> None:
    variables = {"gpu1": {"__status_read": {"status": STATUS}, "status_defined": [{"name": "a", "state": "present"}]}, "web1": {}}
    found = status.status_document(["gpu1", "web1"], variables, {"hosts": {}, "errors": []})
    assert [host["host"] for host in found["hosts"]] == ["gpu1"] and [item["state"] for item in found["services"]] == ["not deployed"]
    assert status.status_lines(found)[0] == "1 service: 1 not deployed; 1 host"
    assert status.status_document(["gpu1"], variables, None, None)["plan"]["valid"] is False
    assert status.status_document(["gpu1"], variables, {}, "b")["services"] == []
    assert sorted(status.FilterModule().filters()) == ["service_states", "status_document", "status_lines"]
