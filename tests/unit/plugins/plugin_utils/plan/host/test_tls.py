# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS in vLLM itself: one place in the plan for how it is asked, and files that the service's account cannot read."""

from __future__ import annotations

from typing import Any

import pytest

from plan_builders import keys_of, service

LIVE = "/etc/letsencrypt/live/llm.example.org"
FILES = {"ssl_certfile": f"{LIVE}/fullchain.pem", "ssl_keyfile": f"{LIVE}/privkey.pem"}


def planned(plan: Any, address: str = "10.0.0.1", args: dict[str, Any] | None = None, **keys: Any) -> Any:
    return plan(service(vllm_args={**FILES, **(args or {})}, port=8443, **keys), ansible_host=address)


def one(plan: Any, **keys: Any) -> dict[str, Any]:
    found = planned(plan, **keys)
    assert found.errors == [], found.errors
    return found.hosts["gpu1"]["services"][0]


def test_the_files_are_handed_over(plan: Any) -> None:
    """Below /etc/letsencrypt/live only root may read."""
    found = one(plan, tls_server_name="llm.example.org")
    assert found["tls"] == {"name": "llm.example.org", "unit": "vllm-qwen.service", "copied": FILES, "read": []}
    assert [word for word in found["argv"] if "ssl" in word] == [
        "--ssl-certfile=/run/credentials/vllm-qwen.service/ssl_certfile", "--ssl-keyfile=/run/credentials/vllm-qwen.service/ssl_keyfile",
    ]
    assert (found["url"], found["local_url"]) == ("https://10.0.0.1:8443", "https://127.0.0.1:8443")


def test_files_that_vllm_watches_are_read_where_they_lie(plan: Any) -> None:
    """A copy made at the start would never be renewed."""
    found = one(plan, tls_server_name="llm.example.org", args={"enable_ssl_refresh": True})
    assert found["tls"]["copied"] == {} and found["tls"]["read"] == list(FILES.values())
    assert f"--ssl-keyfile={LIVE}/privkey.pem" in found["argv"]


def test_a_name_that_nothing_tells_is_asked_for(plan: Any) -> None:
    """And following the fix leads to a plan."""
    errors = planned(plan).errors
    assert keys_of(errors) == [("qwen", "vllm_args.ssl_certfile")]
    assert errors[0].fix == "add the name to the service: tls_server_name: llm.example.org"
    assert planned(plan, tls_server_name="llm.example.org").errors == []


@pytest.mark.parametrize(("address", "variables"), [("llm.example.org", {}), ("10.0.0.1", {"verify_certificates": False})])
def test_no_name_is_needed(plan: Any, address: str, variables: dict[str, Any]) -> None:
    """Where the host is known by one, or nobody looks."""
    assert plan(service(vllm_args=FILES, port=8443), ansible_host=address, **variables).errors == []


@pytest.mark.parametrize(
    ("args", "keys", "key"),
    [
        ({"ssl_certfile": None}, {"tls_server_name": "a.b"}, "vllm_args.ssl_keyfile"),
        ({"ssl_cert_reqs": 2}, {"tls_server_name": "a.b"}, "vllm_args.ssl_cert_reqs"),
        ({"ssl_keyfile": "privkey.pem"}, {"tls_server_name": "a.b"}, "vllm_args.ssl_keyfile"),
        ({"ssl_keyfile": "/etc/x/../y"}, {"tls_server_name": "a.b"}, "vllm_args.ssl_keyfile"),
        ({"ssl_certfile": None, "ssl_keyfile": None}, {"tls_server_name": "a.b"}, "tls_server_name"),
        ({}, {"tls_server_name": "https://a.b"}, "tls_server_name"),
        ({}, {"tls_server_name": "*.b"}, "tls_server_name"),
    ],
)
def test_what_cannot_start_or_be_asked(plan: Any, args: dict[str, Any], keys: dict[str, Any], key: str) -> None:
    assert ("qwen", key) in keys_of(planned(plan, args=args, **keys).errors)


def test_no_tls_is_none(plan: Any) -> None:
    found = plan(service()).hosts["gpu1"]["services"][0]
    assert found["tls"] is None and found["url"].startswith("http://")
