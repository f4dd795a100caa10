# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version numbers of vLLM and of what it needs: read and compared by C(packaging), which ansible-core requires."""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering

try:
    from packaging.version import InvalidVersion, Version as Pep440
except ImportError:
    # For import tests only: ansible-core, which runs the plan, requires packaging.
    pass

_LONGEST = 64
_NUMBERS = 4


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A version as the user wrote it. Its local part (C(+cpu)) names the build and does not count in comparisons."""

    text: str
    number: Pep440
    local: str

    @property
    def public(self) -> str:
        """The version without its local part."""
        return self.text.partition("+")[0]

    @property
    def release(self) -> tuple[int, ...]:
        """Its four numbers, zero where the text has fewer."""
        return (*self.number.release, 0, 0)[:_NUMBERS]

    @property
    def is_cpu_build(self) -> bool:
        return "cpu" in self.local.split(".")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.number == other.number

    def __lt__(self, other: Version) -> bool:
        return self.number < other.number

    def __hash__(self) -> int:
        return hash(self.number)


def parse(text: str) -> Version | None:
    """A version like 0.32.0, 0.33.1rc1.dev245 or 0.32.0+cpu in its normal form, of two to four numbers; None for anything else."""
    try:
        found = Pep440(text) if len(text) <= _LONGEST and text.isascii() else None
    except InvalidVersion:
        return None
    if found is None or str(found) != text or found.epoch or not 2 <= len(found.release) <= _NUMBERS:
        return None
    return Version(text, Pep440(found.public), found.local or "")
