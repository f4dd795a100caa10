# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA toolkit of a release: what its build has to install, lay out and prove, and the environment that it is used in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import _cuda_environment
from .platforms import Numbers, written
from .settings import Settings
from .versions import Version

# All that compiling and linking takes. Without crt, nvvm and cccl here the resolver takes their newest, beside an older cudart.
EXTRAS = ("nvcc", "crt", "nvvm", "cudart", "nvrtc", "cupti", "cccl")

WHEELS = "wheels"
NONE = "none"
SOURCES = (WHEELS, "system", "packages", NONE)

_HOST_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Toolkit:
    """Of a release that needs none, C(source) is none and all else empty. C(path) is that of a toolkit outside the release."""

    source: str
    requirements: tuple[str, ...] = ()
    path: str = ""
    scripts: str = ""
    architectures: tuple[str, ...] = ()

    def environment(self, release: str) -> dict[str, str]:
        """Variables for whatever compiles with the release at this path."""
        return {} if self.source == NONE else _cuda_environment.environment(release, own_libraries=self.source == WHEELS)

    def proofs(self, release: str) -> list[list[str]]:
        """Commands that the build runs in the unfinished release's folder, which will stand at this path; one that fails fails the build."""
        if self.source == NONE:
            return []
        lay_out = [_HOST_PYTHON, f"{self.scripts}/lay_out_cuda.py", "--release", ".", "--final", release]
        prove = [_HOST_PYTHON, f"{self.scripts}/prove_cuda.py", "--release", "."]
        if self.path:
            lay_out += ["--toolkit", self.path]
        if self.architectures:
            prove += ["--architectures", ",".join(self.architectures)]
        return [lay_out, prove]

    def document(self) -> dict[str, Any]:
        """What the roles read of it."""
        return {"source": self.source, "path": self.path, "architectures": list(self.architectures)}


def toolkit_of(settings: Settings, version: Version, cuda: Numbers) -> Toolkit:
    """The toolkit of the release that serves this version on a host with these settings.

    :param cuda: the CUDA that the release's torch is built for, empty when not known
    """
    if not needs_cuda(version, settings.vllm_torch_backend):
        return Toolkit(NONE)
    return Toolkit(WHEELS, requirements=(_requirement(cuda),), scripts=f"{settings.host_install_dir}/lib")


def needs_cuda(version: Version, backend: str) -> bool:
    """Whether a release is one for NVIDIA GPUs: neither its version's local part nor its torch is of another kind."""
    other = ("cpu", "rocm", "xpu")
    return not any(part.startswith(other) for part in (*version.local.split("."), backend))


def _requirement(cuda: Numbers) -> str:
    """The metapackage with the parts that a compiler needs, of torch's CUDA.

    Torch built for CUDA 13 pins the metapackage itself, which holds every part named here. Torch for CUDA 12 pins single parts, so its
    version is said here as far as it is known.
    """
    return f"cuda-toolkit[{','.join(EXTRAS)}]" + (f"=={written(cuda[:2])}.*" if cuda else "")
