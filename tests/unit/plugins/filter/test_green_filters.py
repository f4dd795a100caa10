# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as the temporary units of blue/green updates have them, and what a failed update says."""

from __future__ import annotations

from ansible_collections.inferops.gpu.plugins.filter.green import green_report, green_services, green_units


def test_services_with_the_values_of_their_temporary_units() -> None:
    """Those without room for one, and multi-node ones, are left out."""
    fits = {"name": "a", "port": 1, "gpus": [0], "green": {"service": {"port": 2}}}
    assert green_services([fits, {"name": "b", "green": {"service": None}}, {"name": "c", "green": None}]) == [{**fits, "port": 2}]


def test_units_that_deployed_services_may_have() -> None:
    """Nodes restart together."""
    assert green_units([{"name": "a", "multi_node": False}, {"name": "pair", "multi_node": True}]) == ["inferops-green-a.service"]


def test_the_report_names_each_service_with_its_reason() -> None:
    said = green_report({"a": "no memory\nat all"}, [{"name": "a", "release": "r1"}])
    assert said.startswith("The new engine of service a, release r1, was not put into service.") and said.endswith("\n  no memory\n  at all")
    assert green_report({}, []) == ""
