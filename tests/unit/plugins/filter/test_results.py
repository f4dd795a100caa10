# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a run as data: what serves, what was done to it, and nothing that is not so."""

from __future__ import annotations

from typing import Any

from ansible_collections.inferops.gpu.plugins.filter.results import run_result, service_outcomes


def service(name: str, state: str = "present", url: str | None = "http://192.0.2.1:8001") -> dict[str, Any]:
    """A service as the plan gives it, as far as it is read."""
    if state == "absent":
        return {"name": name, "state": state, "unit": f"vllm-{name}.service"}
    return {
        "name": name, "state": state, "unit": f"vllm-{name}.service", "url": url, "served_model_name": f"{name}-model", "model": "entry",
        "repo": "org/repo", "revision": "1" * 40, "release": "vllm-1-ab",
    }


def host(*services: dict[str, Any], outcomes: dict[str, Any] | None = None, answered: tuple[str, ...] = ()) -> dict[str, Any]:
    """Variables of a host after a whole run."""
    return {
        "plan_host": {"services": list(services)},
        "model_service_outcomes": outcomes or {},
        "verify_result": {"answers": {name: {"seconds": 0.1, "tokens": 5} for name in answered}},
        "model_services": [{"api_key": "sk-secret", "secret_environment": {"A": "hidden"}}],
    }


def test_outcomes_say_what_was_done_and_how_long_it_took() -> None:
    actions = {"vllm-a.service": "restart", "vllm-b.service": "none", "vllm-c.service": "remove", "vllm-d.service": "start"}
    services = [service("a"), service("b"), service("c", "absent"), service("d")]
    followed = {"results": [{"item": services[0], "seconds": 20.04}, {"item": services[3], "seconds": 7.0}]}
    assert service_outcomes(services, actions, followed, {"answers": {"a": {"seconds": 1.5}}}) == {
        "a": {"action": "restart", "seconds": 21.5},
        "b": {"action": "none", "seconds": None},
        "c": {"action": "remove", "seconds": None},
        # A node that does not answer itself: what was asked of it is its start.
        "d": {"action": "start", "seconds": 7.0},
    }
    assert service_outcomes(services[1:2], actions, {}, {}) == {"b": {"action": "none", "seconds": None}}


def test_a_row_has_all_that_a_next_step_needs() -> None:
    variables = {"gpu1": host(service("a"), outcomes={"a": {"action": "start", "seconds": 21.5}}, answered=("a",))}
    assert run_result(["gpu1"], variables, False) == [{
        "service": "a", "host": "gpu1", "state": "serving", "endpoint": "http://192.0.2.1:8001/v1", "model": "a-model", "catalogue": "entry",
        "repo": "org/repo", "revision": "1" * 40, "release": "vllm-1-ab", "action": "start", "changed": True, "seconds_to_ready": 21.5, "tokens_per_second": 50.0,
    }]


def test_a_run_that_changed_nothing_says_so() -> None:
    variables = {"gpu1": host(service("a"), outcomes={"a": {"action": "none", "seconds": None}}, answered=("a",))}
    row = run_result(["gpu1"], variables, False)[0]
    assert (row["state"], row["action"], row["changed"], row["seconds_to_ready"]) == ("serving", "none", False, None)


def test_what_was_held_is_not_called_serving() -> None:
    variables = {"gpu1": host(service("a"), outcomes={"a": {"action": "held", "seconds": None}})}
    row = run_result(["gpu1"], variables, False)[0]
    assert (row["state"], row["action"], row["changed"]) == ("held", "held", False)


def test_only_hosts_that_have_not_failed_are_in_it() -> None:
    both = {"gpu1": host(service("a"), answered=("a",)), "gpu2": host(service("b"), answered=("b",))}
    assert [row["host"] for row in run_result(["gpu2"], both, False)] == ["gpu2"]
    assert [(row["host"], row["service"]) for row in run_result(["gpu1", "gpu2"], both, False)] == [("gpu1", "a"), ("gpu2", "b")]
    assert run_result([], both, False) == []


def test_check_mode_claims_nothing() -> None:
    outcomes = {"a": {"action": "restart", "seconds": None}, "b": {"action": "remove", "seconds": None}}
    variables = {"gpu1": {**host(service("a"), service("b", "absent"), outcomes=outcomes), "verify_result": {"skipped": True, "changed": False}}}
    assert [(row["service"], row["state"], row["action"]) for row in run_result(["gpu1"], variables, True)] == [
        ("a", "planned", "restart"), ("b", "planned", "remove"),
    ]


def test_what_was_not_asked_is_not_called_serving() -> None:
    """A run of some tags alone."""
    variables = {"gpu1": {"plan_host": {"services": [service("a"), service("b", "absent")]}}}
    assert [(row["service"], row["state"], row["action"]) for row in run_result(["gpu1"], variables, False)] == [("a", "unverified", "none")]
    assert run_result(["elsewhere"], {"elsewhere": {}}, False) == []


def test_what_was_removed() -> None:
    variables = {"gpu1": host(service("b", "absent"), outcomes={"b": {"action": "remove", "seconds": None}})}
    row = run_result(["gpu1"], variables, False)[0]
    assert (row["state"], row["action"], row["changed"], row["endpoint"]) == ("removed", "remove", True, None)


def test_of_several_hosts_the_one_that_answers_stands_for_the_service() -> None:
    variables = {"head": host(service("a"), answered=("a",)), "worker": host(service("a", url=None))}
    assert [row["host"] for row in run_result(["head", "worker"], variables, False)] == ["head"]


def test_no_secret_gets_in() -> None:
    variables = {"gpu1": host(service("a"), outcomes={"a": {"action": "start", "seconds": 1.0}}, answered=("a",))}
    text = str(run_result(["gpu1"], variables, False))
    assert "sk-secret" not in text and "hidden" not in text
