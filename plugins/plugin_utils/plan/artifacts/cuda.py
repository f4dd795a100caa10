# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA toolkit of a release: what its build has to install, lay out and prove, and the environment that it is used in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils import _cuda_environment

from ..inputs.settings import Settings
from ..programs import program
from ..versions import Version
from ..vllm.platforms import Numbers, written

# All that compiling and linking takes. Without crt, nvvm, cccl and nvjitlink here the resolver takes their newest, beside an older cudart.
EXTRAS = ("nvcc", "crt", "nvvm", "cudart", "nvrtc", "cupti", "cccl", "nvjitlink")

# FlashInfer asks for cuda-python of any version. The resolver may answer with an old one that brings its own cuda.bindings, and writes them over
# those of the package cuda-bindings that torch and CUTLASS need: then FlashInfer can't be imported.
PYTHON_BINDINGS = "cuda-python>=13"

# As cuda_settings.SOURCES has them.
WHEELS = "wheels"
PACKAGES = "packages"
NONE = "none"

# Before it the wheels of nvcc hold ptxas and no nvcc.
FIRST_IN_WHEELS: Numbers = (13,)

_NOT_NVIDIA = ("cpu", "rocm", "xpu")


@dataclass(frozen=True)
class Toolkit:
    """Of a release that needs none, C(source) is none and all else empty. C(version) is empty when not known, C(path) that of a toolkit outside
    the release, C(install_dir) where the host library is, C(architectures) the compute capabilities beside the GPUs' own."""

    source: str
    version: str = ""
    requirements: tuple[str, ...] = ()
    path: str = ""
    install_dir: str = ""
    architectures: tuple[str, ...] = ()

    def environment(self, release: str) -> dict[str, str | None]:
        """Variables for whatever compiles with the release at this path."""
        return {} if self.source == NONE else {**_cuda_environment.environment(release, own_libraries=self.source == WHEELS)}

    def proofs(self, release: str) -> list[list[str]]:
        """Commands that the build runs in the unfinished release's folder, which will stand at this path; one that fails fails the build.

        They may run again in the finished release, when the host has changed.
        """
        if self.source == NONE:
            return []
        lay_out = program(self.install_dir, "cuda.link", "--release", ".", "--final", release)
        prove = program(self.install_dir, "cuda.smoke_test", "--release", ".")
        if self.path:
            lay_out += ["--toolkit", self.path]
        if self.architectures:
            prove += ["--architectures", ",".join(self.architectures)]
        return [lay_out, prove]

    def before_start(self, release: str, cache: str) -> list[list[str]]:
        """Commands that a service's unit runs before each start: kernels that another CUDA compiled must not be loaded."""
        return [] if self.source == NONE else [program(self.install_dir, "cuda.clear_caches", "--release", release, "--cache", cache)]

    def to_dict(self) -> dict[str, Any]:
        """What the roles read of it."""
        return {"source": self.source, "version": self.version, "path": self.path, "architectures": list(self.architectures)}


def toolkit_of(settings: Settings, version: Version, cuda: Numbers) -> Toolkit:
    """The toolkit of the release that serves this version on a host with these settings.

    :param cuda: the CUDA that the release's torch is built for, empty when not known
    """
    source = settings.cuda_source if needs_cuda(version, settings.vllm_torch_backend) else NONE
    if source == WHEELS and cuda and cuda < FIRST_IN_WHEELS:
        source = NONE
    if source == NONE:
        return Toolkit(NONE)
    return Toolkit(
        source,
        version=written(cuda[:2]),
        requirements=(_requirement(cuda), PYTHON_BINDINGS) if source == WHEELS else (),
        path="" if source == WHEELS else toolkit_path(settings, cuda),
        install_dir=settings.host_install_dir,
        architectures=settings.cuda_architectures,
    )


def toolkit_path(settings: Settings, cuda: Numbers) -> str:
    """Where a toolkit outside the release stands: as the user says, else where its packages put it."""
    if settings.cuda_system_path:
        return settings.cuda_system_path
    if settings.cuda_source == PACKAGES:
        return f"/usr/local/cuda-{written(cuda[:2])}" if settings.cuda_apt_repository else "/usr/lib/cuda"
    return "/usr/local/cuda"


def needs_cuda(version: Version, backend: str) -> bool:
    """Whether a release is one for NVIDIA GPUs: neither its version's local part nor its torch is of another kind."""
    return not any(part.startswith(_NOT_NVIDIA) for part in (*version.local.split("."), backend))


def _requirement(cuda: Numbers) -> str:
    """The metapackage with the parts that a compiler needs, of torch's CUDA.

    Torch built for CUDA 13 pins the metapackage itself, so that in one resolve every part named here follows it, also where the CUDA of a
    vLLM is not known beforehand.
    """
    return f"cuda-toolkit[{','.join(EXTRAS)}]" + (f"=={written(cuda[:2])}.*" if cuda else "")
