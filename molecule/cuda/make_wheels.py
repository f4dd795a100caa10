#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make wheels that stand in for vLLM 0.32.0 and torch 2.13.0: make_wheels.py FOLDER

They hold what the build of a release looks at, and require of CUDA what the real ones do (their own metadata, read from the package
index): torch pins the toolkit, and FlashInfer, which vLLM requires, asks for an nvcc of any version. Their local versions sort above the
package index's builds and below +cpu, of which there is one as well: a release for GPUs must not take it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab" / "wheelhouse"))

import wheels  # noqa: E402

VLLM = "__version__ = '0.32.0'\n"
PLATFORMS = "class _Platform:\n    def is_unspecified(self):\n        return False\n\n\ncurrent_platform = _Platform()\n"
PARSER = "import argparse\n\n\nclass FlexibleArgumentParser(argparse.ArgumentParser):\n    pass\n"
SERVE = """class _Serve:
    def subparser_init(self, subparsers):
        return subparsers.add_parser("serve")


def cmd_init():
    return [_Serve()]
"""


def main() -> None:
    """Write all of them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wheels.torch(folder, "2.13.0+aa", "13.0", ["cuda-toolkit[cudart,cupti,nvrtc]==13.0.3"])
    wheels.torch(folder, "2.13.0+cpu", None, [])
    wheels.write(folder, "vllm", "0.32.0+aa", ["torch==2.13.0", "nvidia-cuda-nvcc", "nvidia-cuda-cccl", "ninja"], {
        "vllm/__init__.py": VLLM,
        "vllm/platforms/__init__.py": PLATFORMS,
        "vllm/utils/__init__.py": "",
        "vllm/utils/argparse_utils.py": PARSER,
        "vllm/entrypoints/__init__.py": "",
        "vllm/entrypoints/cli/__init__.py": "",
        "vllm/entrypoints/cli/serve.py": SERVE,
    })


if __name__ == "__main__":
    main()
