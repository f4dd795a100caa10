# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CUDA toolkit of a release: what its build installs, links and tests, and the environment for using it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.inferops.gpu.plugins.module_utils import _cuda_environment

from ..inputs.settings import Settings
from ..programs import program
from ..versions import Version
from ..vllm.platforms import Numbers, written

# The packages for compiling and linking. crt, nvvm, cccl and nvjitlink are listed because the resolver would combine their newest versions with an
# older cudart.
EXTRAS = ("nvcc", "crt", "nvvm", "cudart", "nvrtc", "cupti", "cccl", "nvjitlink")

# FlashInfer requires cuda-python in any version. An old version contains its own cuda.bindings and overwrites those of the package cuda-bindings,
# which torch and CUTLASS need: then FlashInfer cannot be imported.
PYTHON_BINDINGS = "cuda-python>=13"

# Values of cuda_source, see cuda_settings.SOURCES.
WHEELS = "wheels"
PACKAGES = "packages"
NONE = "none"

# The wheels of older versions contain ptxas and no nvcc.
FIRST_IN_WHEELS: Numbers = (13,)

_NOT_NVIDIA = ("cpu", "rocm", "xpu")


@dataclass(frozen=True)
class Toolkit:
    """Of a release that needs none, C(source) is none and all else empty. C(version) is empty when not known, C(path) that of a toolkit outside
    the release, C(install_dir) where the host library is, C(architectures) the compute capabilities in addition to those of the GPUs."""

    source: str
    version: str = ""
    requirements: tuple[str, ...] = ()
    path: str = ""
    install_dir: str = ""
    architectures: tuple[str, ...] = ()

    def environment(self, release: str) -> dict[str, str | None]:
        """Environment variables for programs that compile with the release at this path."""
        return {} if self.source == NONE else {**_cuda_environment.environment(release, own_libraries=self.source == WHEELS)}

    def verify_commands(self, release: str) -> list[list[str]]:
        """Commands that the build runs in the unfinished release's directory; a failed command fails the build.

        They may run again in the finished release, after changes of the host.

        :param release: the final path of the release
        """
        if self.source == NONE:
            return []
        link = program(self.install_dir, "cuda.link", "--release", ".", "--final", release)
        smoke_test = program(self.install_dir, "cuda.smoke_test", "--release", ".")
        if self.path:
            link += ["--toolkit", self.path]
        if self.architectures:
            smoke_test += ["--architectures", ",".join(self.architectures)]
        return [link, smoke_test]

    def before_start(self, release: str, cache: str) -> list[list[str]]:
        """Commands that a service's unit runs before each start: they delete kernels that another CUDA version compiled."""
        return [] if self.source == NONE else [program(self.install_dir, "cuda.clear_caches", "--release", release, "--cache", cache)]

    def to_dict(self) -> dict[str, Any]:
        """The toolkit for the roles."""
        return {"source": self.source, "version": self.version, "path": self.path, "architectures": list(self.architectures)}


def toolkit_of(settings: Settings, version: Version, cuda: Numbers) -> Toolkit:
    """The toolkit of the release of this version on a host with these settings.

    :param cuda: the CUDA version of the release's torch, empty when unknown
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
    """The path of a toolkit outside the release: from the user, else the path of its packages."""
    if settings.cuda_system_path:
        return settings.cuda_system_path
    if settings.cuda_source == PACKAGES:
        return f"/usr/local/cuda-{written(cuda[:2])}" if settings.cuda_apt_repository else "/usr/lib/cuda"
    return "/usr/local/cuda"


def needs_cuda(version: Version, backend: str) -> bool:
    """Whether a release is for NVIDIA GPUs: neither its version's local part nor its torch backend is for something else."""
    return not any(part.startswith(_NOT_NVIDIA) for part in (*version.local.split("."), backend))


def _requirement(cuda: Numbers) -> str:
    """The metapackage with the parts for a compiler, in torch's CUDA version.

    Torch for CUDA 13 pins the metapackage itself, so that all parts get the same version, even where the CUDA version of a vLLM is unknown.
    """
    return f"cuda-toolkit[{','.join(EXTRAS)}]" + (f"=={written(cuda[:2])}.*" if cuda else "")
