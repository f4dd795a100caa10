# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many command lines of `vllm serve` against the parser of a release, in one process of that release's Python.

On a lab host tests/lab/served/test_4_arguments.py does that. By hand, with any vLLM and as many generated services as wanted:

    python tests/lab/parsing.py PYTHON [SERVICES [VERSION]]

A wheel for GPUs does as well: its Python files beside another release's environment, with a version in its metadata that ends in +cpu, since vLLM
chooses its platform by that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARSER = HERE.parents[1] / "plugins" / "module_utils" / "_vllm_parser.py"


def errors(python: Sequence[str], lines: dict[str, list[str]]) -> dict[str, str]:
    """What the parser says against those lines that it refuses. O(python) is the command that reads a program from its standard input."""
    data = f"PARSER = {PARSER.read_text(encoding='utf-8')!r}\nLINES = {list(lines.values())!r}\n"
    program = data + (HERE / "parse_lines.py").read_text(encoding="utf-8")
    done = subprocess.run(python, input=program, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {label: error for label, error in zip(lines, said, strict=True) if error is not None}


def main() -> int:
    """Prints what is refused; 1 when anything is."""
    import planned

    planner = planned.Planner(*sys.argv[3:4])
    generated = planned.accepted_services(planner, int(sys.argv[2]) if len(sys.argv) > 2 else 200, derandomize=False)
    lines = {**planned.whole_catalogue(planner), **planned.multi_node_lines(planner), **generated}
    refused = errors([sys.argv[1], "-"], lines)
    for label, error in refused.items():
        print(f"{label}\n    {error}")
    print(f"{len(lines)} command lines, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
