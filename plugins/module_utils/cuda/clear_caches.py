# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear a service's caches of compiled kernels when another CUDA than its release's filled them, and only then.

Run by the service's unit before each start, as the service's account and with its environment, which says where the caches are:
cuda.clear_caches --release FOLDER --cache FOLDER
Nothing is computing then, and a unit that goes back to a former release clears what the newer one compiled. The file .cuda in the
service's cache says which CUDA filled it; without it nobody knows. What lies outside the service's cache is left alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from .. import _cuda_toolkit
from .._writing import replace

MARK = ".cuda"

# Where each keeps what it compiled, below a folder that a variable names.
CACHES = (
    ("TRITON_CACHE_DIR", ""),
    ("TORCHINDUCTOR_CACHE_DIR", ""),
    ("FLASHINFER_WORKSPACE_BASE", ".cache/flashinfer"),
    ("VLLM_CACHE_ROOT", "torch_compile_cache"),
    ("VLLM_CACHE_ROOT", "torch_aot_compile"),
    ("VLLM_CACHE_ROOT", "deep_gemm"),
)


def clear(release: str, cache: str) -> list[str]:
    """Clear what another CUDA compiled, note whose caches they are from now on, and return what was cleared."""
    cuda = _cuda_toolkit.torch_build(release)[1]
    mark = os.path.join(cache, MARK)
    try:
        with open(mark, encoding="utf-8") as file:
            former = file.read().strip()
    except OSError:
        former = ""
    if former == cuda:
        return []
    inside = os.path.realpath(cache) + os.sep
    cleared = []
    for variable, below in CACHES:
        folder = os.path.join(os.environ[variable], below).rstrip("/") if os.environ.get(variable) else ""
        if folder and os.path.realpath(folder).startswith(inside) and os.path.isdir(folder):
            shutil.rmtree(folder)
            cleared.append(folder)
    # Last, so that a run that is cut short is done again.
    replace(mark, cuda + "\n")
    return cleared


def main() -> int:
    """Say what was cleared, for the journal."""
    parser = argparse.ArgumentParser(description="Clear caches of kernels that another CUDA compiled.")
    parser.add_argument("--release", required=True)
    parser.add_argument("--cache", required=True)
    given = parser.parse_args()
    for folder in clear(given.release, given.cache):
        print(f"cleared {folder}: it was compiled by another CUDA than that of {os.path.basename(given.release)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
