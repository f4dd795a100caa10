# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the filters write into units and environment files, and hand to modules."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.inferops.gpu.plugins.filter import certificates, multi_node, services, systemd, units as unit_filters


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("--max-model-len=2048", "--max-model-len=2048"),
        (8001, "8001"),
        ("", '""'),
        ("two words", '"two words"'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ('{"a":1}', '"{\\"a\\":1}"'),
        ("back\\slash", '"back\\\\slash"'),
        ("semi;colon", '"semi;colon"'),
    ],
)
def test_unit_word(value: object, expected: str) -> None:
    assert systemd.unit_word(value) == expected


def test_environment_lines_are_sorted_and_keep_the_dollar() -> None:
    assert systemd.unit_environment({"B": "x y", "A": "$1"}) == ['"A=$1"', '"B=x y"']


def test_environment_file_says_to_a_shell_what_it_says_to_systemd(tmp_path: Path) -> None:
    secret = "a\"b`c\\d$e 'f #g"
    path = tmp_path / "env"
    path.write_text(systemd.environment_file({"KEY": secret}))
    read = subprocess.run(["sh", "-c", f'. {path}; printf %s "$KEY"'], capture_output=True, text=True, check=True).stdout
    assert read == secret


@pytest.mark.parametrize("call", [lambda: systemd.environment_file({"A": "x\ny"}), lambda: systemd.unit_word("x\0y")])
def test_what_no_file_can_hold_is_refused(call: object) -> None:
    with pytest.raises(AnsibleFilterError):
        call()  # type: ignore[operator]


def test_secrets_by_service() -> None:
    found = services.service_secrets([
        {"name": "a", "api_key": "k", "secret_environment": {"S": 1}}, {"name": "b"}, {"name": "c", "secret_environment": None},
    ])
    assert found == {"a": {"S": "1", "VLLM_API_KEY": "k"}, "b": {}, "c": {}}


def test_key_of_a_credential() -> None:
    """A key from outside the inventory is for services that ask for one and name none."""
    rows = [{"name": "a", "api_key": "own"}, {"name": "b"}, {"name": "c", "engine": "transformers"}]
    assert services.service_secrets(rows, "k") == {"a": {"VLLM_API_KEY": "own"}, "b": {"VLLM_API_KEY": "k"}, "c": {}}


def plan_service(name: str, state: str = "present") -> dict[str, object]:
    unit = {"unit": f"vllm-{name}.service", "environment_file": f"/etc/inferops/{name}.env", "served": f"/s/{name}.json", "folders": []}
    return {
        "name": name, "state": state, "unit": f"vllm-{name}.service", "environment_file": f"/etc/inferops/{name}.env", "cache": f"/c/{name}",
        "account": {"user": f"inferops-{name}", "group": f"inferops-{name}"}, "own_folders": ["own", name],
        "release": "r", "release_path": "/r", "weights_path": "/w", "served": f"/s/{name}.json",
        "units": [{**unit, "has_secrets": True}] if state == "present" else [], "former_units": [unit] if state == "absent" else [], "node": None,
        "url": "http://h:1", "local_url": "http://127.0.0.1:1", "served_model_name": name, "thinking": "never",
        "thinking_switch": "", "task": "chat", "tls": None, "port": 1,
        "files": {"root": f"/etc/inferops/files/{name}", "folder": None, "named_by": []},
    }


def test_checks_leave_absent_services_out_and_carry_the_key() -> None:
    plan = [plan_service("a"), plan_service("b", "absent")]
    outside = services.service_checks(plan, {"a": {"VLLM_API_KEY": "k"}, "b": {}})
    assert [(row["name"], row["url"], row["unit"], row["api_key"]) for row in outside] == [("a", "http://h:1", None, "k")]
    inside = services.service_checks(plan, {"a": {}, "b": {}}, on_host=True)
    assert [(row["url"], row["unit"], row["api_key"]) for row in inside] == [("http://127.0.0.1:1", "vllm-a.service", "")]


def test_lines_name_address_and_answer() -> None:
    lines = services.service_lines({"a": {"task": "chat", "content": "hello", "tokens": 2, "seconds": 0.5}}, [plan_service("a")])
    assert lines == ["a serves a at http://h:1/v1: chat, 2 tokens in 0.5 s, 'hello'"]


def test_a_certificate_is_verified_from_elsewhere_alone() -> None:
    """Against the name that it is for, with the authorities that the user trusts."""
    plan = [{**plan_service("a"), "tls": {"name": "llm.example.org"}}]
    outside = services.service_checks(plan, {"a": {}}, authorities="/ca.pem")[0]
    assert (outside["verify_certificate"], outside["certificate_name"], outside["authorities"]) == (True, "llm.example.org", "/ca.pem")
    assert services.service_checks(plan, {"a": {}}, on_host=True)[0]["verify_certificate"] is False
    assert services.service_checks(plan, {"a": {}}, verify=False)[0]["verify_certificate"] is False
    lines = services.service_lines({"a": {"task": "embedding", "content": "2 numbers", "tokens": None, "seconds": 0.5}}, plan)
    assert lines == ["a serves a at http://h:1/v1 (as https://llm.example.org:1/v1): embedding, 0.5 s, '2 numbers'"]


def test_only_certificates_that_differ_are_missing(tmp_path: Path) -> None:
    for name in ("same", "changed", "new"):
        (tmp_path / f"{name}.pem").write_text(name)
    present = {"inferops-same.crt": hashlib.sha256(b"same").hexdigest(), "inferops-changed.crt": "0"}
    found = certificates.missing_certificates([str(tmp_path / f"{name}.pem") for name in ("same", "changed", "new")], present)
    assert [row["name"] for row in found] == ["inferops-changed.crt", "inferops-new.crt"]


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="host_ca_certificates names"):
        certificates.missing_certificates([str(tmp_path / "gone.pem")], {})


def multi_node_service(role: str) -> dict[str, object]:
    """A service over two hosts with Ray, on its head or on its worker."""
    def unit(name: str, **keys: object) -> dict[str, object]:
        given = {"unit": f"{name}.service", "environment_file": f"/e/{name}.env", "served": f"/s/{name}.json", "folders": [f"/f/{name}"]}
        return {
            **given, "environment": {}, "supervisor": ["supervisor"], "command": ["ray"], "has_secrets": False, "writable": ["/c/a", f"/f/{name}"],
            "failures": f"/f/{name}", "ray_folder": "/ray/a" if "ray" in name else "", "own_folders": ["own", name], **keys,
        }

    engine = unit("vllm-a", has_secrets=True, environment={"RAY_ADDRESS": "x"}, command=["vllm", "serve"])
    units = [engine, unit("ray-head-a")] if role == "head" else [unit("ray-worker-a")]
    nodes = [{"host": "h"}, {"host": "w"}]
    return {
        **plan_service("a"), "units": units, "former_units": [unit("ray-worker-a" if role == "head" else "ray-head-a")], "node": {"nodes": nodes}, "argv": [],
        **({} if role == "head" else {"url": None, "local_url": None}),
    }


def test_only_the_engine_has_the_services_secrets() -> None:
    """Ray's units have the token alone, and other hosts get neither."""
    secrets = {"a": {"VLLM_API_KEY": "k", "S": "s"}}
    head = "# Managed by inferops.gpu (role model_service). Secrets of service a: readable by root alone.\n"
    # The unit that stands for the service comes last.
    found = unit_filters.unit_environments([multi_node_service("head"), plan_service("b"), plan_service("c", "absent")], secrets, {"a": "t"})
    assert [{**item, "content": base64.b64decode(item["content"]).decode()} for item in found] == [
        {"unit": "ray-head-a.service", "path": "/e/ray-head-a.env", "content": f'{head}SUPERVISOR_TOKEN="t"\n\n'},
        {"unit": "vllm-a.service", "path": "/e/vllm-a.env", "content": f'{head}S="s"\nSUPERVISOR_TOKEN="t"\nVLLM_API_KEY="k"\n\n'},
        {"unit": "vllm-b.service", "path": "/etc/inferops/b.env", "content": f"{head.replace('service a', 'service b')}\n"},
    ]
    rows = unit_filters.unit_items([multi_node_service("head")], secrets)
    assert rows[1]["words"] == ["supervisor", "--withhold=S", "--withhold=VLLM_API_KEY", "--", "vllm", "serve"]
    assert rows[0]["words"] == ["supervisor", "--", "ray"]
    assert not [row for row in rows if "k" in row["words"] or "secrets" in row]


def test_a_worker_is_not_asked() -> None:
    assert services.service_checks([multi_node_service("worker")], {"a": {}}, on_host=True) == []
    assert [row["name"] for row in services.service_checks([multi_node_service("head"), plan_service("b")], {"a": {}, "b": {}}, on_host=True)] == ["a", "b"]


def test_errors_of_one_node_are_those_of_all() -> None:
    others = {"h": {"a": "it fell"}, "w": {}}
    assert multi_node.multi_node_errors({}, [multi_node_service("worker")], others, "w") == {"a": "On node h: it fell"}
    assert multi_node.multi_node_errors({"a": "own"}, [multi_node_service("worker")], others, "w") == {"a": "own"}
    assert multi_node.multi_node_errors({}, [plan_service("a")], others, "w") == {}


TOKENS = [("", {"h": {"tokens": {"a": "made"}}}, "made"), ("given", {"h": {"tokens": {"a": "made"}}}, "given"), ("", {}, ""), ("", {"h": {"skipped": True}}, "")]


@pytest.mark.parametrize(("given", "made", "expected"), TOKENS)
def test_tokens(given: str, made: dict[str, object], expected: str) -> None:
    assert multi_node.multi_node_tokens([multi_node_service("worker")], given, made) == {"a": expected}


def test_a_service_whose_other_node_has_failed_is_left_alone() -> None:
    assert multi_node.failed_nodes([multi_node_service("worker"), plan_service("b")], ["h", "w"]) == []
    [line] = multi_node.failed_nodes([multi_node_service("worker"), plan_service("b")], ["w"])
    assert line.startswith("a: h failed in this run")
