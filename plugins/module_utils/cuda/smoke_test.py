# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smoke test of a release's CUDA toolkit: compile and link kernels for the given compute capabilities and for those of the host's GPUs.

Runs on the host, as root, as a step of the release's build and again when the driver, the GPUs or the toolkit have changed:
cuda.smoke_test --release FOLDER [--architectures 9.0,12.0]

1. Every part of the toolkit has the CUDA version that torch is built for.
2. nvcc compiles a kernel, the host's c++ links it with cudart like JIT builds of FlashInfer and DeepGEMM, NVRTC compiles another one.
3. The kernel runs on each GPU of the host, if there are any.

The result is written to FOLDER/cuda.json. The program prints one line. On failure it prints the error and the fix to standard error and exits with 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

from .. import _cuda_environment, _cuda_toolkit, _nvidia
from .._exit_status import describe, signal_of
from .._writing import replace_json

RELEASE = re.compile(r"release (\d+\.\d+)")
ARCHITECTURE = re.compile(r"\d{1,2}\.\d")

# Uses the runtime and a header of CCCL. `smoke_test` returns 0 when the kernel's result is right, -1 when it is wrong, otherwise CUDA's error.
KERNEL = """
#include <cuda_runtime.h>
#include <cuda/std/cstdint>
__global__ void add(cuda::std::int32_t *numbers, int more) { numbers[threadIdx.x] += more + threadIdx.x; }
extern "C" int smoke_test(int device) {
  enum { COUNT = 64 };
  cuda::std::int32_t host[COUNT] = {0}, *numbers = nullptr;
  cudaError_t error = cudaSetDevice(device);
  if (!error) error = cudaMalloc(&numbers, sizeof(host));
  if (!error) error = cudaMemcpy(numbers, host, sizeof(host), cudaMemcpyHostToDevice);
  if (!error) { add<<<1, COUNT>>>(numbers, 7); error = cudaGetLastError(); }
  if (!error) error = cudaMemcpy(host, numbers, sizeof(host), cudaMemcpyDeviceToHost);
  if (numbers) cudaFree(numbers);
  if (error) return error;
  for (int i = 0; i < COUNT; ++i) if (host[i] != 7 + i) return -1;
  return 0;
}
"""

# Runs in its own process, so that it has the right environment and a broken library cannot crash the smoke test.
NVRTC = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for architecture in sys.argv[2:]:
    program = ctypes.c_void_p()
    source = b"extern \\"C\\" __global__ void twice(float *x) { x[threadIdx.x] *= 2; }"
    library.nvrtcCreateProgram(ctypes.byref(program), source, b"twice.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(b"--gpu-architecture=sm_" + architecture.encode())
    status = library.nvrtcCompileProgram(program, 1, options)
    if status:
        size = ctypes.c_size_t()
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        sys.exit("status %d for sm_%s: %s" % (status, architecture, log.value.decode(errors="replace")))
"""
RUN = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
print(json.dumps([library.smoke_test(device) for device in range(int(sys.argv[2]))]))
"""

# CUDA's errors for a GPU that another process uses: its memory is full, or its compute mode is exclusive. They say nothing about the toolkit.
BUSY = {2: "its memory is full", 46: "another process uses it exclusively"}


class ToolkitError(Exception):
    """What is wrong, with the fix."""


def run(command: list[str], environment: t.Mapping[str, str]) -> tuple[int, str]:
    """Run a command and return its status and its output."""
    done = subprocess.run(
        command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )
    # A process that was killed by a signal printed no error itself.
    ended = f"error: {os.path.basename(command[0])} {describe(done.returncode)}\n" if signal_of(done.returncode) else ""
    return done.returncode, ended + done.stdout


def said(output: str) -> str:
    """Return the first lines of an output that have an error, joined to one line; later errors usually follow from these."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|fatal|cannot find|unsupported|incompatible", line, re.IGNORECASE)]
    return " | ".join((telling or lines)[:3])[:600] or "it printed nothing"


def tool_release(path: str, environment: t.Mapping[str, str]) -> str:
    """Return the CUDA release that a tool reports; empty when the tool is missing."""
    if not os.path.exists(path):
        return ""
    match = RELEASE.search(run([path, "--version"], environment)[1])
    return match.group(1) if match else ""


def parts(home: str, site: str, environment: t.Mapping[str, str]) -> dict[str, str]:
    """Return the CUDA release of each part of a toolkit, as far as it is known; empty for a missing part."""
    builtins = sorted(os.path.basename(path) for path in glob.glob(os.path.join(home, "lib64", "libnvrtc-builtins.so.*")))
    found = {
        "nvcc": tool_release(os.path.join(home, "bin", "nvcc"), environment),
        "ptxas": tool_release(os.path.join(home, "bin", "ptxas"), environment),
        "cudart": _cuda_toolkit.header_version(home, "cuda_runtime_api.h", "CUDART_VERSION", 10),
        "cupti": _cuda_toolkit.header_version(home, "cupti_version.h", "CUPTI_API_VERSION", 100),
        "nvrtc": _cuda_toolkit.minor(builtins[0].partition(".so.")[2]) if builtins else "",
    }
    found.update(_cuda_toolkit.stated_versions(home, site))
    return found


def check_parts(found: t.Mapping[str, str], cuda: str, fix: str) -> None:
    """Raise ToolkitError unless every part exists and has torch's CUDA version."""
    missing = [part for part, version in found.items() if not version]
    others = [f"{part} {version}" for part, version in found.items() if version not in ("", cuda)]
    if not missing and not others:
        return
    same = ", ".join(part for part, version in found.items() if version == cuda) or "no part"
    wrong = f", but the toolkit has {', '.join(others)} (version {cuda}: {same})" if others else ""
    lacking = f"{' and' if others else ', but the toolkit'} lacks {', '.join(missing)}" if missing else ""
    raise ToolkitError(f"torch is built for CUDA {cuda}{wrong}{lacking}. {fix}")


def compile_kernel(home: str, folder: str, cuda: str, architectures: t.Sequence[str], environment: t.Mapping[str, str], fix: str) -> str:
    """Compile and link the kernel into a shared library and return its path. Raises ToolkitError."""
    source, compiled, library = (os.path.join(folder, name) for name in ("kernel.cu", "kernel.o", "kernel.so"))
    with open(source, "w", encoding="utf-8") as file:
        file.write(KERNEL)
    targets = [f"-gencode=arch=compute_{name},code=sm_{name}" for name in map(short, architectures)]
    status, output = run([f"{home}/bin/nvcc", "-std=c++17", "-Xcompiler", "-fPIC", *targets, "-c", source, "-o", compiled], environment)
    if "Unsupported gpu architecture" in output:
        raise ToolkitError(f"nvcc of CUDA {cuda} does not support one of {', '.join(architectures)}: {said(output)}. Remove it from"
                           " cuda_architectures, or choose a vLLM build for another CUDA version")
    if status != 0:
        raise ToolkitError(f"nvcc cannot compile for {', '.join(architectures)}: {said(output)}. {fix}")
    link = ["c++", "-shared", compiled, f"-L{home}/lib64", f"-L{home}/lib64/stubs", "-lcudart", "-lcuda", "-o", library]
    status, output = run(link, environment)
    if status != 0:
        raise ToolkitError(f"nvcc's output cannot be linked: {said(output)}. {fix}")
    # A host may have the libcudart.so of another CUDA version in the linker's default path.
    needed = re.findall(r"\[(libcudart\.so[.\d]*)\]", run(["readelf", "--dynamic", "--wide", library], environment)[1])
    if needed != ["libcudart.so." + cuda.split(".")[0]]:
        raise ToolkitError(f"the linker used {' '.join(needed) or 'no libcudart'}, but torch's CUDA is {cuda}. {fix}")
    return library


def compile_with_nvrtc(home: str, architectures: t.Sequence[str], environment: t.Mapping[str, str], fix: str) -> None:
    """Compile for the architectures with NVRTC. Raises ToolkitError."""
    command = [sys.executable, "-c", NVRTC, os.path.join(home, "lib64", "libnvrtc.so"), *map(short, architectures)]
    status, output = run(command, {**environment, "LD_LIBRARY_PATH": os.path.join(home, "lib64")})
    if status != 0:
        raise ToolkitError(f"NVRTC cannot compile: {said(output)}. {fix}")


def run_kernel(home: str, library: str, gpus: t.Sequence[t.Mapping[str, t.Any]], environment: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """Run the kernel on every GPU and return each one's result. Raises ToolkitError when one fails or computes wrong numbers."""
    settings = {**environment, "LD_LIBRARY_PATH": os.path.join(home, "lib64"), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    settings.pop("CUDA_VISIBLE_DEVICES", None)
    status, output = run([sys.executable, "-c", RUN, library, str(len(gpus))], settings)
    driver = gpus[0]["driver_version"]
    if status != 0:
        raise ToolkitError(f"the compiled kernel cannot be loaded with driver {driver}: {said(output)}. Check the driver with nvidia-smi, then reboot")
    codes = json.loads(output.splitlines()[-1])
    ran = []
    for gpu, code in zip(gpus, codes):
        ran.append({"gpu": gpu["uuid"], "name": gpu["name"], "result": "ran" if code == 0 else BUSY.get(code, f"CUDA error {code}")})
    wrong = [f"GPU {gpu['index']} ({gpu['name']}): {explain(code)}" for gpu, code in zip(gpus, codes) if code and code not in BUSY]
    if wrong:
        raise ToolkitError(f"the kernel compiles, but does not run with driver {driver}: {'; '.join(wrong)}")
    return ran


def explain(code: int) -> str:
    """Return what a CUDA error means here, with the fix if it is known."""
    known = {
        -1: "it computed wrong numbers: take this GPU out of use and test its hardware",
        35: "CUDA error 35, the driver is older than the toolkit: install a newer driver, or a vLLM build for an older CUDA",
        100: "CUDA error 100, no device: make sure that this process can open /dev/nvidia*",
        802: "CUDA error 802, the system is not initialised: Fabric Manager is missing, stopped, or has a different version than the driver",
    }
    if code == 803:
        return f"CUDA error 803, the driver's library and kernel module have different versions: {library_fix()}"
    return known.get(code, f"CUDA error {code}: see `dmesg` for Xid messages, and the driver's release notes")


def library_fix(module: str = "/sys/module/nvidia/version") -> str:
    """Return the fix for a version mismatch of library and kernel module: a reboot after an update; no reboot when the loader finds another library."""
    try:
        with open(module, encoding="utf-8") as file:
            loaded = file.read().strip()
    except OSError:
        loaded = ""
    listed = run(["ldconfig", "-p"], {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})[1]
    paths = re.findall(r"libcuda\.so\.1 \([^)]*\) => (\S+)", listed)
    # The first one is loaded. The name of the file behind the links ends with the driver's version.
    found = os.path.realpath(paths[0]) if paths else ""
    if not found:
        return "ldconfig -p lists no libcuda.so.1: install the driver's library (libcuda1, libnvidia-compute-…), then ldconfig"
    version = os.path.basename(found).partition(".so.")[2]
    if loaded and version != loaded:
        others = [path for path in paths[1:] if os.path.realpath(path).endswith("." + loaded)]
        if others or re.search(r"/(compat|stubs)/", found):
            return (f"the module is {loaded}, and the loader's cache has {found} first (ldconfig -p | grep libcuda). Remove its folder from /etc/ld.so.conf.d"
                    f" (or the package that contains it, such as cuda-compat), then run ldconfig; a reboot does not help")
        return f"the module is {loaded} and {found} has another version: reboot to load the new module"
    return "reboot; if the error persists, check which libcuda.so.1 the loader finds (ldconfig -p | grep libcuda, LD_LIBRARY_PATH)"


def short(architecture: str) -> str:
    """Return 90 for 9.0."""
    return architecture.replace(".", "")


def wanted_architectures(stated: str, gpus: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the stated compute capabilities and those of the GPUs. Raises ToolkitError when there are none, or one does not look like 9.0."""
    found = {word.strip() for word in stated.split(",") if word.strip()}
    found |= {gpu["compute_capability"] for gpu in gpus if gpu["compute_capability"]}
    wrong = sorted(word for word in found if not ARCHITECTURE.fullmatch(word))
    if wrong:
        raise ToolkitError(f"{', '.join(wrong)} is not a compute capability. Write it like 9.0 in cuda_architectures")
    if not found:
        raise ToolkitError("the host has no GPU to compile for. Set compute capabilities in cuda_architectures, for example ['9.0'] for H100")
    return sorted(found, key=lambda word: tuple(map(int, word.split("."))))


def smoke_test(release: str, stated: str) -> dict[str, t.Any]:
    """Test a release's toolkit and return the result. Raises ToolkitError."""
    began = time.monotonic()
    home = os.path.join(release, "cuda")
    torch, cuda = _cuda_toolkit.torch_build(release)
    if not cuda:
        raise ToolkitError(f"torch {torch or '(none)'} is a build without CUDA. Install one for GPUs")
    gpus, gpu_error = _nvidia.read_gpus()
    if gpu_error:
        raise ToolkitError(gpu_error)
    architectures = wanted_architectures(stated, gpus)
    own = os.path.realpath(home).startswith(os.path.realpath(release) + os.sep)
    if own:
        fix = "The toolkit's packages must be resolved together with torch: check whether vllm_requirements or vllm_overrides pins or removes one"
    else:
        fix = f"Install the complete CUDA {cuda} toolkit at {os.path.realpath(home)}, or use cuda_source: wheels"
    # Only the release's environment, and the folder for the compiler's temporary files.
    environment = {**_cuda_environment.environment(release, own_libraries=own), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    if os.environ.get("TMPDIR"):
        environment["TMPDIR"] = os.environ["TMPDIR"]
    for tool, package in (("c++", "install g++ (host_packages)"), ("readelf", "install binutils"), ("ninja", "add ninja to vllm_requirements")):
        if shutil.which(tool, path=environment["PATH"]) is None:
            raise ToolkitError(f"JIT builds need {tool}, but it is not on the release's PATH: {package}")
    doubled = _cuda_toolkit.doubled_bindings(_cuda_toolkit.site_packages(release))
    if doubled:
        raise ToolkitError(f"{doubled} both contain cuda.bindings and have overwritten each other's files, so FlashInfer cannot be imported. Add"
                           " cuda-python==<the version of cuda-bindings> to vllm_requirements")
    found = parts(home, _cuda_toolkit.site_packages(release), environment)
    check_parts(found, cuda, fix)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as pool:
        by_nvrtc = pool.submit(compile_with_nvrtc, home, architectures, environment, fix)
        library = compile_kernel(home, folder, cuda, architectures, environment, fix)
        by_nvrtc.result()
        ran = run_kernel(home, library, gpus, environment) if gpus else []
    return {
        "cuda": cuda,
        "torch": torch,
        "parts": found,
        "architectures": architectures,
        "driver": gpus[0]["driver_version"] if gpus else "",
        "ran": ran,
        "identity": _cuda_toolkit.identity(release),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """Print what was tested, or the error."""
    parser = argparse.ArgumentParser(description="Test that a release's CUDA toolkit compiles and links.")
    parser.add_argument("--release", required=True, help="folder of the release")
    parser.add_argument("--architectures", default="", help="compute capabilities beside those of the host's GPUs, separated by commas")
    given = parser.parse_args()
    try:
        found = smoke_test(os.path.abspath(given.release), given.architectures)
    except ToolkitError as error:
        print(error, file=sys.stderr)
        return 1
    replace_json(os.path.join(os.path.abspath(given.release), _cuda_toolkit.RECORD), found, indent=1)
    on = f", ran on {sum(1 for one in found['ran'] if one['result'] == 'ran')} of {len(found['ran'])} GPUs" if found["ran"] else ", no GPU to run on"
    print(f"CUDA {found['cuda']} compiles and links for {', '.join(found['architectures'])}{on} ({found['seconds']} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
