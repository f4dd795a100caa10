# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make check` starts no test after its time, and says how many it left out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def pytest_of_three(folder: Path, until: float, *arguments: str) -> str:
    """What pytest prints of three tests: each takes half a second, and the last one fails."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_three.py").write_text("import time\n" + "".join(
        f"def test_{number}():\n    time.sleep(0.5)\n    assert {number} < 3\n" for number in (1, 2, 3)
    ))  # fmt: skip
    environment = {**os.environ, "TESTS_UNTIL": str(until), "PYTHONPATH": str(TOOLS)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "time_limit", *arguments], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_what_would_start_too_late_is_left_out_aloud(tmp_path: Path, workers: list[str]) -> None:
    said = pytest_of_three(tmp_path, time.time() - 1, *workers)
    assert "3 skipped" in said and "!! 3 tests left out for want of time" in said


def test_what_has_started_in_time_counts(tmp_path: Path) -> None:
    said = pytest_of_three(tmp_path, time.time() + 60)
    assert "1 failed, 2 passed" in said and "left out" not in said
