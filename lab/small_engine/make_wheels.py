#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the wheels of the small engine, which stands in for vLLM's CPU build: make_wheels.py FOLDER

They are vllm 0.32.0+cpu.small, the same under a later version to upgrade to, and a torch with only a version. What they require is real: setproctitle for the titles of processes, and grpcio, as
vLLM requires it: Ray opens its client port then.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "wheelhouse"))

import wheels  # noqa: E402

VERSION = "0.32.0"
VERSIONS = (VERSION, f"{VERSION}.post1")
TORCH = "2.13.0+cpu.small"
# The plan's table of vLLM's flags, made from the real parser.
TABLE = HERE.parents[1] / "roles" / "plan" / "files" / "vllm_types.json"
KEPT = ("kind", "choices", "many", "aliases")


def flags() -> str:
    """The flags of this version, with what the engine's parser needs of them."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))["versions"][VERSION]
    return json.dumps({flag: {key: what[key] for key in KEPT if key in what} for flag, what in table.items()})


def sources(version: str) -> dict[str, str]:
    """The engine's files under a version, by their path in the wheel."""
    files = {str(path.relative_to(HERE)): path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*/**/*.py"))}
    named = files["small_engine/__init__.py"].replace(f'VERSION = "{VERSION}"', f'VERSION = "{version}"')
    return {**files, "small_engine/__init__.py": named, "small_engine/flags.json": flags()}


def requirements() -> list[str]:
    """What the engine requires."""
    return [f"torch=={TORCH}", "setproctitle==1.3.7", "grpcio"]


def main() -> None:
    """Write all of them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wheels.torch(folder, TORCH, None, [])
    for version in VERSIONS:
        wheels.write(folder, "vllm", f"{version}+cpu.small", requirements(), sources(version), {"vllm": "small_engine.main:main"})


if __name__ == "__main__":
    main()
