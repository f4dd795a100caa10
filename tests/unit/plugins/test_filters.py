# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the filters write into units and environment files, and hand to modules."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.inferops.gpu.plugins.filter import certificates, services, systemd


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
    return {
        "name": name, "state": state, "unit": f"vllm-{name}.service", "environment_file": f"/etc/inferops/{name}.env", "cache": f"/c/{name}",
        "served": f"/s/{name}", "release": "r", "release_path": "/r", "weights_path": "/w",
        "url": "http://h:1", "local_url": "http://127.0.0.1:1", "served_model_name": name, "thinking": "never",
    }


def test_checks_leave_absent_services_out_and_carry_the_key() -> None:
    plan = [plan_service("a"), plan_service("b", "absent")]
    outside = services.service_checks(plan, {"a": {"VLLM_API_KEY": "k"}, "b": {}})
    assert [(row["name"], row["url"], row["unit"], row["api_key"]) for row in outside] == [("a", "http://h:1", None, "k")]
    inside = services.service_checks(plan, {"a": {}, "b": {}}, on_host=True)
    assert outside[0]["keep"] is None
    assert inside[0]["keep"] == {"served": "/s/a", "environment_file": "/etc/inferops/a.env", "release": "r", "release_path": "/r", "weights_path": "/w"}
    assert [(row["url"], row["unit"], row["api_key"]) for row in inside] == [("http://127.0.0.1:1", "vllm-a.service", "")]


def test_lines_name_address_and_answer() -> None:
    lines = services.service_lines({"a": {"content": "hello", "tokens": 2, "seconds": 0.5}}, [plan_service("a")])
    assert lines == ["a serves a at http://h:1/v1: 2 tokens in 0.5 s, 'hello'"]


def test_only_certificates_that_differ_are_missing(tmp_path: Path) -> None:
    for name in ("same", "changed", "new"):
        (tmp_path / f"{name}.pem").write_text(name)
    present = {"inferops-same.crt": hashlib.sha256(b"same").hexdigest(), "inferops-changed.crt": "0"}
    found = certificates.missing_certificates([str(tmp_path / f"{name}.pem") for name in ("same", "changed", "new")], present)
    assert [row["name"] for row in found] == ["inferops-changed.crt", "inferops-new.crt"]


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="host_ca_certificates names"):
        certificates.missing_certificates([str(tmp_path / "gone.pem")], {})


@pytest.mark.parametrize(
    ("remove", "expected"),
    [
        ("", [("vllm-a.service", "present"), ("vllm-b.service", "absent")]),
        ("all", [("vllm-a.service", "absent"), ("vllm-b.service", "absent")]),
        ("a", [("vllm-a.service", "absent")]),
        ("c", []),
    ],
)
def test_units_as_planned_or_to_be_removed(remove: str, expected: list[tuple[str, str]]) -> None:
    found = services.service_units([plan_service("a"), plan_service("b", "absent")], remove)
    assert [(row["unit"], row["state"]) for row in found] == expected
