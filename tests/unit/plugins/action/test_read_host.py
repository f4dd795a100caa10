# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules that read a host: one that cannot start because a disk is full is named as such, and nothing else is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.plugin_utils.read_host import full_disk_error
from ansible_runs import playbook

# Recorded on a machine whose file system of / was full: Ansible's wrapper of a module, run by Python.
RECORDED = (
    'File "/usr/lib/python3.11/tempfile.py", line 362, in _get_default_tempdir\n    raise FileNotFoundError(_errno.ENOENT,\n'
    "FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/home/ops']\n"
)
UNREADABLE: dict[str, Any] = {"failed": True, "_ansible_parsed": False, "module_stdout": "", "rc": 1}
RESULTS = {
    "no temporary file": ({**UNREADABLE, "module_stderr": RECORDED}, True),
    "a file that does not fit": ({**UNREADABLE, "module_stderr": "OSError: [Errno 28] No space left on device"}, True),
    "another error": ({**UNREADABLE, "module_stderr": "sudo: a password is required"}, False),
    "no module": ({**UNREADABLE}, False),
    # The module itself ran, and has its own words.
    "the module's own error": ({"failed": True, "_ansible_parsed": True, "msg": "x", "module_stderr": RECORDED}, False),
    "success": ({"changed": False, "_ansible_parsed": True, "host": {}}, False),
}


@pytest.mark.parametrize("what", RESULTS)
def test_a_full_disk_is_named(what: str) -> None:
    result, is_full = RESULTS[what]
    error = full_disk_error("gpu1", result)
    assert error.startswith("gpu1: no module can start there") and "df -h" in error if is_full else error == ""


@pytest.mark.parametrize("module", ["host_facts", "host_diagnosis"])
def test_a_task_fails_with_that_error_alone(module: str, tmp_path: Path) -> None:
    """With Ansible: an interpreter that ends as Python does on such a disk."""
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{RECORDED}END\nexit 1\n")
    python.chmod(0o755)
    play = tmp_path / "play.yml"
    play.write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{{inferops.gpu.{module}: {{}}}}]\n")
    done = playbook("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={python} ansible_pipelining=true", str(play))
    assert done.returncode != 0 and "localhost: no module can start there" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout and "deserialization" not in done.stdout and "_get_default_tempdir" not in done.stdout, done.stdout


def test_the_module_may_run_in_the_background(tmp_path: Path) -> None:
    """As without an action of ours: with async."""
    play = tmp_path / "play.yml"
    play.write_text("- hosts: all\n  gather_facts: false\n  tasks: [{inferops.gpu.host_facts: {}, async: 60, poll: 1}]\n")
    variables = f"ansible_python_interpreter={sys.executable} ansible_async_dir={tmp_path}"
    done = playbook("-i", "localhost,", "-c", "local", "-e", variables, str(play))
    assert done.returncode == 0, done.stdout
