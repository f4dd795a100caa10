# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear a service's caches of compiled kernels when a different CUDA version has filled them.

The service's unit runs it before each start, as the service's account and with its environment, which has the paths of the caches:
cuda.clear_caches --release FOLDER --cache FOLDER
No kernel runs then, and a unit that is rolled back to an earlier release clears the kernels of the newer one. The file .cuda in the
service's cache has the CUDA version that filled it; without it the version is unknown. Folders outside the service's cache are left alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from .. import _cuda_toolkit
from .._writing import replace

MARK = ".cuda"

# Each cache: the variable with its base folder, and the subfolder for compiled kernels.
CACHES = (
    ("TRITON_CACHE_DIR", ""),
    ("TORCHINDUCTOR_CACHE_DIR", ""),
    ("FLASHINFER_WORKSPACE_BASE", ".cache/flashinfer"),
    ("VLLM_CACHE_ROOT", "torch_compile_cache"),
    ("VLLM_CACHE_ROOT", "torch_aot_compile"),
    ("VLLM_CACHE_ROOT", "deep_gemm"),
)


def clear(release: str, cache: str) -> list[str]:
    """Clear caches of a different CUDA version, record the version that fills them from now on, and return the cleared folders."""
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
    # Written last, so that an interrupted run is repeated.
    replace(mark, cuda + "\n")
    return cleared


def main() -> int:
    """Print the cleared folders, for the journal."""
    parser = argparse.ArgumentParser(description="Clear caches of kernels that another CUDA version compiled.")
    parser.add_argument("--release", required=True)
    parser.add_argument("--cache", required=True)
    given = parser.parse_args()
    for folder in clear(given.release, given.cache):
        print(f"cleared {folder}: its kernels were compiled with a different CUDA version than that of {os.path.basename(given.release)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
