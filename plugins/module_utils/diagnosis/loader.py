# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which libcuda.so.1 a service loads, and whether it belongs to the loaded kernel module: else CUDA fails with error 803.

CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803) of the CUDA driver API; vllm-project/vllm issue 33447 and gpustack/gpustack issue 4678 show how a cuda-compat
library that the loader finds first causes it. The order of the search is that of ld.so(8).
"""

from __future__ import annotations

import glob
import os
import re
import typing as t

from .. import _gpu_driver
from .commands import Unread, output
from .context import Context
from .finding import Result, Unknown, error, warning

NAME = "libcuda.so.1"
_DEFAULT = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
            "/lib64", "/usr/lib64", "/lib", "/usr/lib")
_VERSION = re.compile(r"\.so\.(\d+\.\d+(?:\.\d+)?)$")
_CACHED = re.compile(r"^\s*libcuda\.so\.1 \(([^)]*)\) => (\S+)$", re.MULTILINE)


class Found(t.NamedTuple):
    """A library, the file that its links lead to, and what led the loader there."""

    path: str
    real: str
    whence: str

    @property
    def version(self) -> str:
        """The driver's version in the file's name; empty when there is none."""
        match = _VERSION.search(self.real)
        return match[1] if match else ""


def check(context: Context) -> Result:
    """The library of each service that uses GPUs."""
    module = _gpu_driver.loaded_module(context.path("/sys/module/nvidia/version")) or context.driver
    if not module:
        return
    try:
        cache = output("ldconfig", "-p")
    except Unread as reason:
        cache = ""
        yield Unknown("the loader's cache", str(reason))
    for unit in context.units:
        found = search(context, unit.environment.get("LD_LIBRARY_PATH", ""), cache)
        if found is None:
            # nvidia-smi may answer in a container that has no driver of its own; the kernel module means a host with GPUs.
            if os.path.exists(context.path("/sys/module/nvidia/version")):
                cause = f"no {NAME} is where the loader looks for it, so CUDA finds no driver"
                yield error("libcuda-missing", cause, "ldconfig -p | grep libcuda", unit.service)
        else:
            yield from judge(found, module, unit.name, unit.service)


def judge(found: Found, module: str, unit: str, service: str) -> Result:
    """Compare a library with the kernel module."""
    detail = f"{found.path} -> {found.real}, from {found.whence}; kernel module {module}"
    what = f"{unit} loads {found.path} ({found.whence})"
    look = f"systemctl show --property=Environment {unit}" if "LD_LIBRARY_PATH" in found.whence else "ldconfig -p | grep libcuda"
    if "stubs" in found.real.split("/"):
        yield error("libcuda-stub", f"{what}, which is a stub for linking: CUDA fails with error 34", look, service, detail)
        return
    if not found.version or found.version == module:
        return
    if "compat" in found.path + found.real and _numbers(found.version) > _numbers(module):
        cause = f"{what}, the forward compatibility library {found.version} over the kernel module {module}, which only data-center GPUs support"
        yield warning("libcuda-compat", cause, look, service, detail)
        return
    command = look
    if found.whence == "the loader's cache" and "compat" not in found.path:
        # A driver update has replaced the library and not the loaded module.
        command = "systemctl reboot"
    cause = f"{what}, which is of driver {found.version}, and the loaded kernel module is {module}: CUDA fails with error 803"
    yield error("libcuda-mismatch", cause, command, service, detail)


def search(context: Context, library_path: str, cache: str) -> t.Optional[Found]:
    """Return the library that the loader finds first; None without one.

    :param library_path: LD_LIBRARY_PATH
    :param cache: output of C(ldconfig -p)
    """
    for folder in re.split("[:;]", library_path) if library_path else []:
        found = _in(context, folder or ".", "LD_LIBRARY_PATH") if folder.startswith("/") else None
        if found is not None:
            return found
    for kind, path in _CACHED.findall(cache):
        if "x86-64" in kind or "AArch64" in kind:
            return Found(path, os.path.realpath(context.path(path)), "the loader's cache")
    for folder in _DEFAULT:
        found = _in(context, folder, "a default directory of the loader")
        if found is not None:
            return found
    return None


def _in(context: Context, folder: str, whence: str) -> t.Optional[Found]:
    # The loader also looks in directories for newer processors (glibc-hwcaps), and there first.
    for path in (*sorted(glob.glob(os.path.join(context.path(folder), "glibc-hwcaps", "*", NAME))), os.path.join(context.path(folder), NAME)):
        if os.path.exists(path):
            return Found(path, os.path.realpath(path), f"{whence}: {folder}" if whence == "LD_LIBRARY_PATH" else whence)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
