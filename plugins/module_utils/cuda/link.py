# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Link a release's CUDA toolkit where JIT builds look for it, and write its environment.

Runs on the host, as a step of the release's build: cuda.link --release FOLDER --final PATH [--toolkit PATH]
FOLDER is the release's present path and PATH its final one: no link inside the release contains either.

    cuda              the toolkit: a link into the release's own packages, or to the toolkit of --toolkit
    cuda.env          the environment, one assignment per line: for units, and for a shell after `set -a`
    bin/with-cuda     runs a command in that environment

It completes a toolkit from wheels: lib64, unversioned names of libraries, a libcuda.so to link against.
"""

from __future__ import annotations

import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

from .. import _cuda_environment, _cuda_toolkit
from .._exit_status import describe
from .._writing import replace

LIBRARY = re.compile(r"(lib[A-Za-z0-9_]+\.so)\.\d+")

WITH_CUDA = """#!/bin/sh
# Managed by inferops.gpu (role cuda). Runs a command in this release's CUDA environment: with-cuda nvcc --version
here=$(dirname "$(dirname "$(readlink -f "$0")")")
set -a
. "$here/cuda.env"
set +a
exec "$@"
"""


class ToolkitError(Exception):
    """What is wrong, with the fix."""


def link(target: str, path: str) -> None:
    """Create or correct a symbolic link. A path that exists and is not a link stays."""
    if os.path.islink(path):
        if os.readlink(path) == target:
            return
        os.unlink(path)
    elif os.path.exists(path):
        return
    os.symlink(target, path)


def own_toolkit(release: str, torch: str, cuda: str) -> str:
    """Return the toolkit in a release's own packages. Raises ToolkitError when there is none."""
    home = _cuda_toolkit.wheels_home(release, cuda)
    if not os.path.exists(os.path.join(home, "bin", "nvcc")):
        raise ToolkitError(
            f"torch {torch} is built for CUDA {cuda}, and its wheels contain no nvcc. Wheels contain nvcc from CUDA 13 on: for an older CUDA set"
            " cuda_source: system or packages; otherwise make sure that vllm_overrides does not remove cuda-toolkit"
        )
    return home


def complete(home: str) -> None:
    """Add the names that linkers and JIT builds look for to a toolkit from wheels. All links are relative, so the toolkit may be moved."""
    libraries = os.path.join(home, "lib")
    link("lib", os.path.join(home, "lib64"))
    for path in sorted(glob.glob(os.path.join(libraries, "lib*.so.*"))):
        match = LIBRARY.fullmatch(os.path.basename(path))
        if match:
            link(os.path.basename(path), os.path.join(libraries, match.group(1)))
    stub = os.path.join(libraries, "stubs", "libcuda.so")
    if not os.path.exists(stub):
        make_stub(stub)


def make_stub(path: str) -> None:
    """Create an empty library with the name of the driver's: shared libraries are linked against it on a host without a driver, and load the
    real one at run time."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "empty.c")
        open(source, "w", encoding="utf-8").close()
        done = subprocess.run(
            ["c++", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-x", "c", source, "-o", path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
    if done.returncode != 0:
        said = done.stdout.strip()[-400:] or describe(done.returncode)
        raise ToolkitError(f"the host's c++ cannot link a shared library: {said}. Install g++ (host_packages)")


def link_toolkit(release: str, final: str, toolkit: str) -> str:
    """Link the toolkit, write its environment, and return a summary. Raises ToolkitError."""
    torch, cuda = _cuda_toolkit.torch_build(release)
    if not torch:
        raise ToolkitError(
            "the release has no torch, so the CUDA version that it needs is unknown. Make sure that vllm_requirements and vllm_overrides do not remove torch"
        )
    if not cuda:
        raise ToolkitError(
            f"torch {torch} is a build without CUDA, but the release is for GPUs. vllm_find_links or an index has a CPU build, which"
            " counts as newer than the CUDA build of the same version: remove it from there, or add"
            f" torch=={torch.partition('+')[0]},!={torch} to vllm_overrides; for a CPU release add +cpu to vllm_version"
        )
    if toolkit:
        if not os.path.exists(os.path.join(toolkit, "bin", "nvcc")):
            raise ToolkitError(f"{toolkit}/bin/nvcc does not exist. Install a CUDA {cuda} toolkit there, or set cuda_system_path to another one")
        link(toolkit, os.path.join(release, "cuda"))
    else:
        home = own_toolkit(release, torch, cuda)
        complete(home)
        link(os.path.relpath(home, release), os.path.join(release, "cuda"))
    environment = _cuda_environment.environment(final, own_libraries=not toolkit)
    lines = ["# Managed by inferops.gpu (role cuda). The environment in which this release's CUDA compiler works."]
    lines += [f"{name}={value}" for name, value in environment.items()]
    replace(os.path.join(release, "cuda.env"), "\n".join(lines) + "\n")
    replace(os.path.join(release, "bin", "with-cuda"), WITH_CUDA, 0o755)
    return f"CUDA {cuda} of torch {torch}, from {toolkit or 'its wheels'}"


def main() -> int:
    """Print the summary, or the error."""
    parser = argparse.ArgumentParser(description="Link a release's CUDA toolkit.")
    parser.add_argument("--release", required=True, help="present folder of the release")
    parser.add_argument("--final", required=True, help="final path of the release")
    parser.add_argument("--toolkit", default="", help="a toolkit outside the release")
    given = parser.parse_args()
    try:
        print(link_toolkit(os.path.abspath(given.release), given.final, given.toolkit))
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
