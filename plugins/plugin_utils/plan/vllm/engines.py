# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines: the programs that serve models, with the same units and the same health gate."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidValue

VLLM = "vllm"
TRANSFORMERS = "transformers"
ENGINES = (VLLM, TRANSFORMERS)

# Names in messages.
NAMES = {VLLM: "vLLM", TRANSFORMERS: "Transformers"}


def read(value: Any) -> str:
    """A reader of a service's engine."""
    if value not in ENGINES:
        raise InvalidValue("there is no such engine", f"write {' or '.join(ENGINES)}, or leave it out for {VLLM}")
    return str(value)
