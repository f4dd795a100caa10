# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's version numbers: read, compared and looked up, without a dependency."""

from __future__ import annotations

import re

from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(
    r"(?P<release>\d+(?:\.\d+){1,3})"
    r"(?:(?P<stage>a|b|rc)(?P<stage_number>\d+))?"
    r"(?:\.?(?P<after>post|dev)(?P<after_number>\d+))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:\.[a-z0-9]+)*))?"
)
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, None: 0}
_PARTS = 4
_LONGEST = 64


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A version as asked for. Its local part (C(+cpu)) says which build it is and takes no part in comparing."""

    text: str
    order: tuple[int, ...]
    local: str

    @property
    def public(self) -> str:
        """The version without its local part."""
        return self.text.partition("+")[0]

    @property
    def is_cpu_build(self) -> bool:
        return "cpu" in self.local.split(".")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.order == other.order

    def __lt__(self, other: Version) -> bool:
        return self.order < other.order

    def __hash__(self) -> int:
        return hash(self.order)


def parse(text: str) -> Version | None:
    """A version like 0.32.0, 0.33.0rc1 or 0.32.0+cpu; None for anything else."""
    match = _VERSION.fullmatch(text) if len(text) <= _LONGEST and text.isascii() else None
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    release += [0] * (_PARTS - len(release))
    after = match["after"]
    post = int(match["after_number"]) + 1 if after == "post" else 0
    stage = _STAGES["dev"] if after == "dev" and match["stage"] is None else _STAGES[match["stage"]]
    return Version(text, (*release, stage, int(match["stage_number"] or 0), post), match["local"] or "")
