# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Of pytest, for C(make check): no test starts after C(TESTS_UNTIL), in seconds since 1970. What is left out is skipped and counted aloud.

Its option is C(-p time_limit), with this folder in C(PYTHONPATH).
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

REASON = "left out: no time left"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if time.time() > float(os.environ["TESTS_UNTIL"]):
        pytest.skip(REASON)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    left = sum(REASON in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    if left:
        terminalreporter.write_line(f"!! {left} tests left out for want of time, those that are farthest from what changed: make unit runs them")
