# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many examples a generated test gets. Such a test has the marker C(fuzz): conftest.py gives it to those of hypothesis, others name it themselves."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """O(count) times what FUZZ says (`make fuzz`); without FUZZ, among all unit tests, a tenth, but at least ten."""
    fuzz = os.environ.get("FUZZ", "")
    return count * int(fuzz) if fuzz else max(10, count // 10)
