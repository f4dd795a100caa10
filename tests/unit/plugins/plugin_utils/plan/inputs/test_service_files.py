# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of the controller that a service brings: where they end up, what names them, and when the service is another one for it."""

from __future__ import annotations

import json
import os
import re
import sys

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inferops.gpu.plugins.modules import service_files
from ansible_collections.inferops.gpu.plugins.plugin_utils import controller_files
from ansible_runs import playbook
from plan_builders import keys_of, service

ROOT = Path(__file__).resolve().parents[6]
ONE, TWO = "1" * 64, "2" * 64


def brought(digest: str = ONE, **keys: Any) -> dict[str, Any]:
    """A service with a chat template and a parser, as the controller has found them."""
    files = {"chat.jinja": {"source": "/c/chat.jinja", "sha256": digest}, "ours.py": {"source": "/c/ours.py", "sha256": TWO}}
    return service(**{"files": files, "vllm_args": {"chat_template": "chat.jinja", "tool_parser_plugin": "ours.py"}, **keys})


def planned(plan: Any, made: dict[str, Any]) -> dict[str, Any]:
    found = plan(made)
    assert found.errors == []
    return found.hosts["gpu1"]["services"][0]


def test_a_name_becomes_the_path_on_the_host(plan: Any) -> None:
    found = planned(plan, brought(environment={"OUR_TEMPLATE": "chat.jinja", "OTHER": "chat.jinja.old"}))
    folder = found["files"]["folder"]
    assert folder.startswith("/etc/inferops/files/qwen/") and found["files"]["root"] == "/etc/inferops/files/qwen"
    assert f"--chat-template={folder}/chat.jinja" in found["argv"] and f"--tool-parser-plugin={folder}/ours.py" in found["argv"]
    assert found["environment"]["OUR_TEMPLATE"] == f"{folder}/chat.jinja" and found["environment"]["OTHER"] == "chat.jinja.old"
    assert found["file_sources"] == [{"name": "chat.jinja", "source": "/c/chat.jinja"}, {"name": "ours.py", "source": "/c/ours.py"}]


def test_contents_are_part_of_the_service_and_places_are_not(plan: Any) -> None:
    """The unit differs when a file does; a checkout in another folder, as each AWX job has, changes nothing."""
    first, changed = planned(plan, brought()), planned(plan, brought(TWO))
    moved = brought()
    moved["files"] = {name: {**file, "source": f"/elsewhere/{name}"} for name, file in moved["files"].items()}
    assert first["argv"] != changed["argv"] and first["digest"] != changed["digest"]
    assert (planned(plan, moved)["argv"], planned(plan, moved)["digest"]) == (first["argv"], first["digest"])


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "", ".", "..", "a/b", "a b", "-x", "x\n", "x" * 101])
def test_names_are_file_names(plan: Any, name: str) -> None:
    assert ("qwen", "files") in keys_of(plan(service(files={name: {"source": "/c", "sha256": ONE}})).errors)


def test_a_file_that_nothing_names_is_told(plan: Any) -> None:
    """Most likely the two names differ."""
    found = plan(brought(vllm_args={"chat_template": "/etc/chat-template.jinja", "tool_parser_plugin": "ours.py"}))
    assert [warning for warning in found.warnings if "files has chat.jinja" in str(warning)]
    assert not [warning for warning in found.warnings if "files has ours.py" in str(warning)]


def test_the_controller_describes_files(tmp_path: Path) -> None:
    """What is there by its contents; what is missing, too large, or no path, by service and key. Services that go need none."""
    (tmp_path / "a.jinja").write_text("hello", encoding="utf-8")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(controller_files.LARGEST + 1)
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nx\n", encoding="utf-8")
    wanted = [
        {"name": "one", "files": {"t": "a.jinja", "gone": "b.jinja", "large": "large", "odd": 7, "key": "key"}},
        {"name": "old", "state": "absent", "files": {"gone": "b.jinja"}},
        {"name": "odd", "files": ["a.jinja"]},
        "no service",
    ]
    found, missing = controller_files.of_services(wanted, (str(tmp_path),))
    assert found[0]["files"]["t"] == {"source": str(tmp_path / "a.jinja"), "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
    assert list(found[0]["files"]) == ["t"] and found[1:] == wanted[1:]
    assert [(name, key) for name, key, _path, _why in missing] == [("one", f"files.{key}") for key in ("gone", "large", "odd", "key")]
    assert "private key" in missing[3][3]
    assert str(tmp_path) in missing[0][3]


def test_former_folders_stay_while_something_needs_them(tmp_path: Path) -> None:
    """The unit on the disk and the state to go back to name theirs; what neither names goes, what is wanted stays."""
    root = tmp_path / "files" / "qwen"
    row = {"root": str(root), "folder": str(root / "new"), "named_by": [str(tmp_path / "unit"), str(tmp_path / "kept.json")]}
    assert service_files.unneeded(row) == []
    for name in ("new", "running", "kept", "kept2", "old"):
        service_files.make(str(root), str(root / name))
    (tmp_path / "unit").write_text(f"ExecStart=vllm --chat-template={root}/running/t\n", encoding="utf-8")
    (tmp_path / "kept.json").write_text(f'{{"unit_text": "--chat-template={root}/kept/t"}}', encoding="utf-8")
    assert service_files.unneeded(row) == [str(root / "kept2"), str(root / "old")]
    assert (root / "new").stat().st_mode & 0o777 == 0o755


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: [{role}/vars/main.yml]
  tasks:
    - ansible.builtin.import_tasks: {role}/tasks/files.yml
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to root")
def test_the_role_brings_them(tmp_path: Path) -> None:
    """On a bare host a dry run makes nothing; then they are there, for all to read and root's; again nothing changes; what was spoilt is mended."""
    (tmp_path / "chat.jinja").write_text("{{ hello }}\n", encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY.format(role=ROOT / "roles" / "model_service"), encoding="utf-8")
    root = tmp_path / "etc" / "files" / "qwen"
    files = {"root": str(root), "folder": str(root / "0123"), "named_by": [str(tmp_path / "unit")]}
    bringing = {"name": "qwen", "state": "present", "files": files, "file_sources": [{"name": "t.jinja", "source": str(tmp_path / "chat.jinja")}]}
    other = {"name": "other", "state": "present", "files": {**files, "folder": None}, "file_sources": []}
    variables = {"plan_host": {"services": [other, bringing]}, "model_services": [], "ansible_python_interpreter": sys.executable}
    (tmp_path / "vars.json").write_text(json.dumps(variables), encoding="utf-8")

    def run(*options: str) -> int:
        done = playbook("-i", "localhost,", str(tmp_path / "play.yml"), "-e", f"@{tmp_path}/vars.json", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        return int(re.search(r"changed=(\d+)", done.stdout)[1])  # type: ignore[index]

    assert run("--check") == 1 and not root.exists()
    assert run() == 2
    made = root / "0123" / "t.jinja"
    assert made.read_text(encoding="utf-8") == "{{ hello }}\n" and made.stat().st_mode & 0o777 == 0o644 and made.stat().st_uid == 0
    assert run() == 0
    made.write_text("spoilt", encoding="utf-8")
    assert run() == 1 and made.read_text(encoding="utf-8") == "{{ hello }}\n"
