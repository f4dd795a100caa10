# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an engine's start is, read from its output: "loading weights" and the percentage of it.

Lines are those of vLLM 0.8.5 to 0.33 (C(model_loader/weight_utils.py), C(v1/worker/gpu_model_runner.py), C(compilation/backends.py), uvicorn).
"""

from __future__ import annotations

import re
import typing as t

# A pattern of a line, and the stage that begins with it. Group 1, where there is one, is the percentage.
_STAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Loading [\w.]+(?: \S+)? checkpoint shards: +(\d+)% Completed"), "loading weights"),
    (re.compile(r"Starting to load model "), "loading weights"),
    (re.compile(r"Loading weights took "), "weights are loaded"),
    (re.compile(r"Dynamo bytecode transform time|Compiling a graph for |Using cache directory: .* for vLLM's torch\.compile"), "compiling"),
    (re.compile(r"GPU KV cache size:|Available KV cache memory:"), "preparing the KV cache"),
    (re.compile(r"Capturing CUDA graphs?[^:\n]{0,80}: +(\d+)%"), "capturing CUDA graphs"),
    (re.compile(r"Warming up model for the compilation"), "compiling"),
    (re.compile(r"Application startup complete"), "waiting for the first answer"),
)
# Most lines are short; a longer one is not one of these.
_LONGEST = 400


class Progress(t.NamedTuple):
    """A stage of the start, and the percentage of it that is done, if the engine prints one."""

    stage: str
    percent: t.Optional[int]

    @property
    def text(self) -> str:
        return self.stage if self.percent is None else f"{self.stage}, {self.percent} %"


def read(line: str) -> Progress | None:
    """Return the progress that a line of the engine's output shows; None for other lines. A progress bar overwrites itself: its last state counts."""
    if len(line) > _LONGEST:
        line = line[-_LONGEST:]
    line = line.rpartition("\r")[2] or line
    for pattern, stage in _STAGES:
        match = pattern.search(line)
        if match:
            return Progress(stage, int(match[1]) if pattern.groups else None)
    return None
