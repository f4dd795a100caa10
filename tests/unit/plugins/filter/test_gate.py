# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the gate of several services said, and the words that a run fails with."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.filter.gate import as_restored, failed_units, gate_errors, gate_report, next_round, passed_units, unchanged_errors, units_to_follow
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import transport


def service(name: str) -> dict[str, Any]:
    files = {"unit": f"vllm-{name}.service", "environment_file": f"/e/{name}", "served": f"/s/{name}", "own_folders": ["own"], "arguments_stamp": f"/k/{name}", "digest": "d"}
    return {"name": name, "release": "new", "release_path": "/r", "weights_path": "/w", "argv": [], "units": [files], "former_units": [], **files}


def followed(name: str, **keys: str) -> dict[str, Any]:
    return {"item": service(name), "changed": False, **keys}


def test_errors_of_starts_and_of_answers_come_together() -> None:
    starts = [followed("a"), followed("b", error="it fell"), followed("c", state="active")]
    assert gate_errors(starts, {"errors": {"c": "it said nothing"}}) == {"b": "it fell", "c": "it said nothing"}
    assert gate_errors([], {}) == {}


def test_a_service_that_goes_by_another_network_does_not_pass() -> None:
    """The supervisor's own words, as they stand in the unit's status."""
    read = transport.Transport()
    read.read("gpu1:7:9 [0] NCCL INFO NET/Socket : Using [0]eth0:10.0.0.1<0>")
    said = f"serving on gpu1, gpu2: {read.complaint('NET/IB')}"
    errors = gate_errors([followed("a", state="active", status=said), followed("b", state="active", status="serving on gpu1, gpu2")], {})
    assert list(errors) == ["a"] and errors["a"].startswith("NCCL uses NET/Socket ([0]eth0:10.0.0.1<0>), and the inventory expects NET/IB.")


def test_only_what_failed_is_taken_back() -> None:
    assert failed_units([service("a"), service("b")], {"b": "x"}) == [
        {"name": "b", "unit": "vllm-b.service", "environment_file": "/e/b", "served": "/s/b", "own_folders": ["own"]},
    ]


def test_only_what_passed_is_recorded() -> None:
    """Of a multi-node service all of its units on the host, that which stands for it last."""
    files = {"environment_file": "/e", "served": "/s", "own_folders": []}
    several = {**service("b"), "units": [{"unit": "vllm-b.service", **files}, {"unit": "vllm-b-ray.service", **files}]}
    found = passed_units([service("a"), several, service("c")], {"c": "x"})
    assert found[0] == {
        "name": "a", "unit": "vllm-a.service", "environment_file": "/e/a", "served": "/s/a", "release": "new", "release_path": "/r", "weights_path": "/w",
        "arguments": {"stamp": "/k/a", "digest": "d"}, "former": [],
    }
    # What was rolled back says nothing about the plan's arguments.
    assert [item["arguments"] for item in passed_units([service("a")], {}, False)] == [None]
    assert [(item["name"], item["unit"]) for item in found] == [("a", "vllm-a.service"), ("b", "vllm-b-ray.service"), ("b", "vllm-b.service")]


def test_what_passed_leaves_no_former_units() -> None:
    """A service that was rolled back has them again."""
    former = {"unit": "ray-head-a.service", "environment_file": "/e/a.ray-head", "served": "/s/a.ray-head", "folders": ["/f"]}
    changed = {**service("a"), "former_units": [former]}
    assert [item["former"] for item in passed_units([changed], {})] == [[{"served": "/s/a.ray-head", "folders": ["/f"]}]]
    assert [item["former"] for item in passed_units([changed], {}, False)] == [[]]


def test_after_a_change_of_backend_the_former_units_are_followed_and_recorded() -> None:
    """Nothing is requested: the plan's URL is that of the change, and another host may have had the API."""
    former = {"unit": "ray-worker-a.service", "environment_file": "/e/a.ray-worker", "served": "/s/a.ray-worker", "folders": ["/f"]}
    changed = {**service("a"), "unit": "vllm-a.service", "former_units": [former], "url": "http://h:1", "local_url": "http://127.0.0.1:1"}
    same = {**service("b"), "url": "http://h:2"}
    outcomes = {"a": {"action": "restored", "units": ["ray-worker-a.service"]}, "b": {"action": "restored"}}
    found = as_restored([changed, same], outcomes)
    assert (found[0]["unit"], found[0]["units"], found[0]["url"], found[1]) == ("ray-worker-a.service", [former], None, same)
    assert [(item["unit"], item["served"]) for item in passed_units(found[:1], {}, False)] == [("ray-worker-a.service", "/s/a.ray-worker")]
    deployed = {"name": "a", "unit": "vllm-a.service", "units": ["vllm-a.service"], "multi_node": True}
    assert as_restored([deployed], outcomes)[0]["units"] == ["ray-worker-a.service"]


def test_only_what_is_unchanged_may_hang() -> None:
    outcomes = {"a": {"action": "restored"}, "b": {"action": "unchanged"}, "c": {"action": "failed"}, "d": {"action": "stopped"}}
    assert unchanged_errors({name: f"{name} fell" for name in "abcd"}, outcomes) == {"b": "b fell"}


def test_a_restart_that_helped_leaves_nothing_to_report() -> None:
    """One that did not has the error of the second look."""
    outcomes = {"a": {"action": "unchanged", "why": "its unit and environment are those that served before"}}
    assert gate_report({"a": "no answer"}, outcomes, [service("a")], {}, ["a"], {}) == ""
    assert "it hung" in gate_report({"a": "no answer"}, outcomes, [service("a")], {}, ["a"], {"a": "it hung"})
    text = gate_report({"a": "no answer"}, outcomes, [service("a")], {}, [], {"a": "it is busy"})
    assert "it is busy" in text and "no answer" not in text


def test_every_service_is_told_of_with_both_reasons() -> None:
    errors = {"a": "ValueError: no blocks\nmore", "b": "no answer", "c": "it fell", "d": "it fell too"}
    outcomes = {
        "a": {"action": "restored", "release": "old", "kept": "2026-01-01T00:00:00+00:00"},
        "b": {"action": "stopped", "why": "it has never passed its gate on this host"},
        "c": {"action": "unchanged", "why": "its unit and environment are those that served before", "release": "old", "kept": "x"},
        "d": {"action": "restored", "release": "old", "kept": "y"},
    }
    text = gate_report(errors, outcomes, [service(name) for name in "abcd"], {"d": "the GPU is gone"})
    first, second, third, fourth = text.split("\n\n")
    assert first.startswith("Service a failed the health gate on release new. It was rolled back to its last known good state, release old of 2026-01-01")
    assert "is healthy again" in first and first.endswith("  ValueError: no blocks\n  more")
    assert "never passed" in second and "stopped and disabled (vllm-b.service)" in second and second.endswith("  no answer")
    assert "not rolled back" in third and "served before" in third
    assert "which fails too" in fourth and fourth.index("the GPU is gone") < fourth.index("it fell too")


BEGIN: dict[str, Any] = {"waiting": [], "returned": [], "errors": {}, "again": {}, "outcomes": {}, "followed": [], "answers": {}}


def unit(name: str) -> dict[str, Any]:
    return {"name": name, "unit": f"vllm-{name}.service", "label": f"Start of {name}", "timeout": 60, "seconds": 55.0, "restarts": 0}


def test_a_failed_service_goes_back_while_another_starts() -> None:
    """Round by round: b fails and is rolled back, with all of its time again; a passes; b passes after the rollback."""
    ended = {"item": unit("b"), "error": "it fell", "seconds": 55.0}
    first = next_round(BEGIN, {"results": [ended], "waiting": [unit("a")]}, {}, {"b": "it fell"}, {"restored": ["b"], "outcomes": {"b": {"action": "restored"}}})
    assert [(row["name"], row["restarts"], row["seconds"], row["timeout"]) for row in first["waiting"]] == [("a", 0, 55.0, 60), ("b", -1, 0.0, 60)]
    assert first["errors"] == {"b": "it fell"} and first["returned"] == ["b"] and first["outcomes"] == {"b": {"action": "restored"}}
    passed = {"item": unit("a"), "state": "active", "seconds": 59.0}
    second = next_round(first, {"results": [passed], "waiting": [unit("b")]}, {"answers": {"a": {"seconds": 1}}}, {}, {"skipped": True})
    assert [row["name"] for row in second["waiting"]] == ["b"] and second["answers"] == {"a": {"seconds": 1}}
    last = next_round(second, {"results": [{"item": unit("b"), "state": "active"}], "waiting": []}, {"answers": {"b": {}}}, {}, {"skipped": True})
    assert last["waiting"] == [] and last["errors"] == {"b": "it fell"} and last["again"] == {} and set(last["answers"]) == {"a", "b"}
    assert [row["item"]["name"] for row in last["followed"]] == ["b", "a", "b"] and last["outcomes"] == first["outcomes"]


def test_a_service_that_has_its_former_units_again_is_followed_by_them() -> None:
    outcomes = {"b": {"action": "restored", "units": ["ray-worker-b.service"]}}
    found = next_round(BEGIN, {"results": [{"item": unit("b"), "error": "x"}], "waiting": []}, {}, {"b": "x"}, {"restored": ["b"], "outcomes": outcomes})
    assert [row["unit"] for row in found["waiting"]] == ["ray-worker-b.service"]


def test_a_service_that_fails_after_its_rollback_too_is_not_rolled_back_again() -> None:
    before = {**BEGIN, "returned": ["b"], "errors": {"b": "it fell"}}
    found = next_round(before, {"results": [{"item": unit("b"), "error": "again"}], "waiting": []}, {}, {"b": "again"}, {"skipped": True})
    assert found["waiting"] == [] and found["errors"] == {"b": "it fell"} and found["again"] == {"b": "again"}


def test_a_service_that_cannot_go_back_is_not_followed() -> None:
    outcomes = {"b": {"action": "stopped", "why": "it has never passed"}}
    found = next_round(BEGIN, {"results": [{"item": unit("b"), "error": "x"}], "waiting": []}, {}, {"b": "x"}, {"restored": [], "outcomes": outcomes})
    assert found["waiting"] == [] and found["outcomes"] == outcomes


def test_units_are_followed_a_little_longer_than_they_may_start() -> None:
    [row] = units_to_follow([{"name": "a", "unit": "vllm-a.service", "timeouts": {"start": 100}}])
    assert row == {"name": "a", "unit": "vllm-a.service", "label": "Start of a", "timeout": 160}
