# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The list of role mutations does not rot: each still applies to its file, and names a test that there is."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from role_specs import role_names

ROOT = Path(__file__).resolve().parents[3]


def _module() -> Any:
    """tests/mutation/roles.py: its name alone would find the folder of the roles."""
    import sys  # noqa: PLC0415

    sys.path.append(str(ROOT / "tests" / "mutation"))
    spec = importlib.util.spec_from_file_location("role_mutations", ROOT / "tests" / "mutation" / "roles.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


role_mutations = _module()
MUTATIONS = role_mutations.read()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation["name"])
def test_it_applies(mutation: dict[str, Any], tmp_path: Path) -> None:
    """Once, in a file of its role, which remains YAML: a file that cannot be read would turn every test red."""
    copy = tmp_path / mutation["file"]
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / mutation["file"]).read_text(encoding="utf-8"), encoding="utf-8")
    role_mutations.apply(mutation, tmp_path)
    assert mutation["file"].startswith(f"roles/{mutation['role']}/")
    if copy.suffix == ".yml":
        yaml.safe_load(copy.read_text(encoding="utf-8"))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation["name"])
def test_what_turns_red_exists(mutation: dict[str, Any]) -> None:
    kind, _, name = mutation["red"].partition(" ")
    place = ROOT / "molecule" / name / "molecule.yml" if kind == "molecule" else ROOT / mutation["red"]
    if name == mutation["role"] and not place.exists():
        pytest.skip(f"the role {name} has no scenario of its own")
    assert place.is_file()


def test_each_role_has_some() -> None:
    counts = Counter(mutation["role"] for mutation in MUTATIONS)
    assert set(counts) == set(role_names()) and min(counts.values()) >= 2
    assert len({mutation["name"] for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_text_that_is_gone_or_repeated_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x: 1\nx: 1\n", encoding="utf-8")
    for text in ("y: 1", "x: 1"):
        with pytest.raises(ValueError, match="times"):
            role_mutations.apply({"name": "m", "file": "a", "find": text}, tmp_path)


@pytest.mark.parametrize(("log", "reason"), [
    ("...\nFAILED ../../tests/lab/kernel/test_kernel.py::test_values - assert 1\n", "../../tests/lab/kernel/test_kernel.py::test_values"),
    ("ok\n[ERROR]: Task failed: no such user\nfatal: [lab-gpu1]: FAILED! =>\n", "Task failed: no such user"),
    ("fatal: [lab-gpu1]: UNREACHABLE! =>\n", "UNREACHABLE! =>"),
    ("CRITICAL Idempotence test failed because of the following tasks:\n", "Idempotence test failed because of the following tasks:"),
    ("Cannot connect to the Docker daemon\n3 passed\n", ""),
    ("INFO     [cuda > create] Executing\n[ERROR]: Task failed: Pool overlaps\n", ""),
    ("INFO     [cuda > create] Executing\nINFO     [cuda > converge] Executing\n[ERROR]: Task failed: no toolkit\n", "Task failed: no toolkit"),
])
def test_what_turned_red_is_named(log: str, reason: str) -> None:
    """A lab that does not work is no test that saw something."""
    assert role_mutations.reason(log) == reason
