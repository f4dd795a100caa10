#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make wheels that stand in for vLLM 0.32.0 and torch 2.13.0: make_wheels.py FOLDER

They hold what the build of a release looks at, and require of CUDA what the real ones do (their own metadata, read from the package
index): torch pins the toolkit, and FlashInfer, which vLLM requires, asks for an nvcc of any version. Their local versions sort above the
package index's builds and below +cpu, of which there is one as well: a release for GPUs must not take it.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

TORCH = "__all__ = ['__version__', 'cuda']\n__version__ = '{version}'\ndebug = False\ncuda: _Optional[str] = {cuda}\nhip = None\n"
MODULE = "from torch import version\nfrom torch.version import __version__\n"
VLLM = "__version__ = '0.32.0'\n"
PLATFORMS = "class _Platform:\n    def is_unspecified(self):\n        return False\n\n\ncurrent_platform = _Platform()\n"
PARSER = "import argparse\n\n\nclass FlexibleArgumentParser(argparse.ArgumentParser):\n    pass\n"
SERVE = """class _Serve:
    def subparser_init(self, subparsers):
        return subparsers.add_parser("serve")


def cmd_init():
    return [_Serve()]
"""
TYPING = "from typing import Optional as _Optional\n"


def wheel(folder: Path, name: str, version: str, requires: list[str], files: dict[str, str]) -> None:
    """Write one wheel of pure Python; the same contents make the same file."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires)
    contents = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: inferops.gpu\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
            archive.writestr(zipfile.ZipInfo(path), text)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record + f"{info}/RECORD,,\n")


def torch(folder: Path, version: str, cuda: str | None, requires: list[str]) -> None:
    """Write a wheel of torch for a CUDA, or for none."""
    text = TYPING + TORCH.format(version=version, cuda=repr(cuda))
    # The real one has it as an attribute as well, which the import check reads.
    wheel(folder, "torch", version, requires, {"torch/__init__.py": MODULE, "torch/version.py": text})


def main() -> None:
    """Write all of them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch(folder, "2.13.0+aa", "13.0", ["cuda-toolkit[cudart,cupti,nvrtc]==13.0.3"])
    torch(folder, "2.13.0+cpu", None, [])
    wheel(folder, "vllm", "0.32.0+aa", ["torch==2.13.0", "nvidia-cuda-nvcc", "nvidia-cuda-cccl", "ninja"], {
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
