# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tests/run-molecule.sh with a molecule that only records its calls: which scenarios run, what stays up after a failure, and what is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Fails in `test` of the scenario that BROKEN names.
MOLECULE = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$1 $*" in "test "*" $BROKEN") exit 1 ;; esac
"""
DOCKER = """#!/bin/sh
[ "$*" = "ps --filter label=inferops.lab=labo --format {{.Names}}" ] || exit 9
echo labo-mirror
echo labo-gpu1
"""


@dataclass
class Checkout:
    """A checkout with two scenarios, and the calls of molecule in it."""

    path: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"VENV": str(self.path / "venv"), "CALLS": str(self.path / "calls"), "BROKEN": "none", "LAB_NAME": "labo", "LAB_NETWORK": "10.9.8"}
        inherited = {name: value for name, value in os.environ.items() if name not in ("KEEP", "LAB_NAME", "LAB_NETWORK")}
        command = [str(self.path / "tests" / "run-molecule.sh"), *arguments]
        return subprocess.run(command, env={**inherited, **variables, **environment}, capture_output=True, text=True, timeout=60, check=False)

    @property
    def calls(self) -> list[str]:
        file = self.path / "calls"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for folder in ("tests", "venv/bin", "molecule/one", "molecule/two", ".lab/ssh"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("env.sh", "run-molecule.sh"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    for name, text in {"ansible-playbook": "#!/bin/sh\n", "molecule": MOLECULE, "docker": DOCKER}.items():
        (tmp_path / "venv" / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "venv" / "bin" / name).chmod(0o755)
    (tmp_path / "molecule" / "one" / "molecule.yml").write_text("---\n# One role on one machine. More of it.\nscenario:\n  test_sequence:\n    - verify ../../tests/lab/one\n", encoding="utf-8")
    (tmp_path / "molecule" / "two" / "molecule.yml").write_text("---\n# Two machines\n# that talk.\n", encoding="utf-8")
    (tmp_path / ".lab" / "ssh" / "config-labo").write_text("\nHost gpu1\n    HostName 10.9.8.11\n\nHost *\n    User ops\n", encoding="utf-8")
    return Checkout(tmp_path)


def test_every_scenario_without_a_name(checkout: Checkout) -> None:
    """One failure does not keep the others from running, and decides the exit status."""
    assert checkout.run().returncode == 0
    assert checkout.calls == ["test --scenario-name one", "test --scenario-name two"]
    done = checkout.run(BROKEN="one")
    assert done.returncode == 1 and checkout.calls[2:] == ["test --scenario-name one", "test --scenario-name two"]
    assert "failed: molecule one" in done.stdout and "1 passed, 1 failed" in done.stdout and "are up" not in done.stdout


@pytest.mark.parametrize("name", ["three", "../one", ""])
def test_an_unknown_name_lists_the_scenarios(checkout: Checkout, name: str) -> None:
    """Each with the beginning of its comment, before anything runs."""
    done = checkout.run("one", name)
    assert done.returncode == 2 and checkout.calls == []
    assert [line.split(maxsplit=1) for line in done.stderr.splitlines()[1:]] == [["one", "One role on one machine."], ["two", "Two machines"]]


def test_a_failing_scenario_leaves_its_machines_up_when_asked_to(checkout: Checkout) -> None:
    """What an earlier run left goes first, since molecule then skips every destroy. The ways in and out are printed."""
    done = checkout.run("one", KEEP="1", BROKEN="one")
    assert done.returncode == 1
    assert checkout.calls == ["destroy --scenario-name one", "test --destroy=never --scenario-name one"]
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "ssh -F .lab/ssh/config-labo gpu1" in lines and "docker exec -it labo-gpu1 bash" in lines
    # The mirror has no sshd.
    assert "docker exec -it labo-mirror bash" in lines and not [line for line in lines if line.startswith("ssh") and "mirror" in line]
    [remove] = [line.removeprefix("Remove them:").strip() for line in lines if line.startswith("Remove them:")]
    assert remove == "LAB_NAME=labo LAB_NETWORK=10.9.8 tests/run-molecule.sh --destroy one"
    assert "Run its tests again:  (cd molecule/one && LAB_NAME=labo LAB_NETWORK=10.9.8 ../../.venv/bin/pytest ../../tests/lab/one)" in lines
    assert checkout.run("--destroy", "one").returncode == 0 and checkout.calls[2:] == ["destroy --scenario-name one"]


def test_a_scenario_that_passes_leaves_nothing(checkout: Checkout) -> None:
    done = checkout.run("two", KEEP="1", BROKEN="one")
    assert done.returncode == 0 and "are up" not in done.stdout
    assert checkout.calls == ["destroy --scenario-name two", "test --destroy=never --scenario-name two", "destroy --scenario-name two"]
