# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each alert's tests of promtool: with the promtool of this machine, else with that of the scenario's monitoring host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The tests name the rules by a relative path, so both keep their places.
FOLDERS = ("roles/monitoring/files/rules", "tests/lab/monitoring/rule_tests")
COMMANDS = ("promtool check rules roles/monitoring/files/rules/*.yml", "promtool test rules tests/lab/monitoring/rule_tests/*.yml")


@pytest.fixture(scope="module", name="shell")
def _shell() -> list[str]:
    """The beginning of a command that runs a script in a folder with the rules and their tests."""
    if shutil.which("promtool"):
        return ["sh", "-c"]
    from lab import SSH_CONFIG  # Not needed, and without a lab not there, where promtool is.

    ssh = ["ssh", "-F", str(SSH_CONFIG), "lab-mon"]
    packed = subprocess.run(["tar", "-cz", *FOLDERS], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run([*ssh, "rm -rf rule-tests && mkdir rule-tests && tar -xz -C rule-tests"], input=packed, check=True)
    return [*ssh, "cd rule-tests;"]


@pytest.mark.parametrize("command", COMMANDS)
def test_promtool_accepts_all(shell: list[str], command: str) -> None:
    done = subprocess.run([*shell, command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert done.stdout.count("SUCCESS") == len(list((ROOT / FOLDERS[command.startswith("promtool test")]).glob("*.yml")))
