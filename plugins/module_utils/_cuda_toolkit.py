# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CUDA version a release's torch is built for, which toolkit the release has, and whether the result of its smoke test is still valid.

Runs on the host: in C(host_facts), and in the programs that link and test a toolkit. It imports nothing from the release.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import typing as t

# The file in a release with the result of its smoke test.
RECORD = "cuda.json"

# The files that identify a toolkit: another version of the compiler changes at least one of them.
_IDENTIFYING = (
    "bin/nvcc", "bin/ptxas", "bin/cudafe++", "bin/fatbinary", "bin/nvcc.profile", "nvvm/bin/cicc", "nvvm/libdevice/libdevice.10.bc",
    "include/cuda.h", "include/cuda_runtime_api.h", "include/crt/host_config.h", "include/cupti_version.h",
    "include/cccl/cuda/std/__cccl/version.h", "lib64/libcudart.so", "lib64/libnvrtc.so", "lib64/stubs/libcuda.so",
)
_TORCH_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*(?:'([^']*)'|\"([^\"]*)\"|None)", re.MULTILINE)
_TORCH_VERSION = re.compile(r"^__version__\s*=\s*['\"]([^'\"]*)['\"]", re.MULTILINE)

# Packages that state the version of a part, as wheels and as the toolkit's version.json name them. The other parts report it themselves.
_WHEELS = {"nvvm": "nvidia_nvvm", "crt": "nvidia_cuda_crt", "cccl": "nvidia_cuda_cccl"}
_VERSION_JSON = {"nvvm": ("libnvvm", "cuda_nvvm"), "crt": ("cuda_crt",), "cccl": ("cuda_cccl", "cccl")}


def site_packages(release: str) -> str:
    """Return the path of a release's packages; empty when it is not a virtual environment."""
    return next(iter(sorted(glob.glob(os.path.join(release, "lib", "python3*", "site-packages")))), "")


def torch_build(release: str) -> tuple[str, str]:
    """Return the version of a release's torch and the CUDA version that it is built for; each is empty when there is none. Does not import torch."""
    text = _read(os.path.join(site_packages(release), "torch", "version.py"))
    version, cuda = _TORCH_VERSION.search(text), _TORCH_CUDA.search(text)
    return version.group(1) if version else "", (cuda.group(1) or cuda.group(2) or "") if cuda else ""


def wheels_home(release: str, cuda: str) -> str:
    """Return the folder that all wheels of a CUDA major version share (since CUDA 13)."""
    return os.path.join(site_packages(release), "nvidia", "cu" + cuda.split(".")[0])


def stated_versions(home: str, site: str) -> dict[str, str]:
    """Return the versions (major.minor) that packages state for parts that do not report their own.

    Wheels count only for a toolkit inside C(site); a part without a wheel is missing there: empty. Elsewhere parts without a statement are omitted.
    """
    found = {}
    if os.path.realpath(home).startswith(os.path.realpath(site) + os.sep):
        for part, name in _WHEELS.items():
            found[part] = ""
            for path in glob.glob(os.path.join(site, name + "-*.dist-info")):
                found[part] = minor(os.path.basename(path)[len(name) + 1:-len(".dist-info")])
        return found
    try:
        listed = json.loads(_read(os.path.join(home, "version.json")) or "{}")
    except ValueError:
        return found
    for part, names in _VERSION_JSON.items():
        for name in names:
            if isinstance(listed.get(name), dict) and listed[name].get("version"):
                found[part] = minor(str(listed[name]["version"]))
    return found


def doubled_bindings(site: str) -> str:
    """Return the packages that both contain C(cuda.bindings), so that one has overwritten the other's files; empty when only one does."""
    owners = []
    for path in sorted(glob.glob(os.path.join(site, "cuda_*.dist-info", "RECORD"))):
        if "\ncuda/bindings/runtime." in "\n" + _read(path):
            owners.append(os.path.basename(os.path.dirname(path))[:-len(".dist-info")].replace("_", "-"))
    return " and ".join(owners) if len(owners) > 1 else ""


def header_version(home: str, header: str, macro: str, minor_unit: int) -> str:
    """Return major.minor of a header's version macro (13000 is 13.0); empty without it. C(minor_unit) is the value of one minor version."""
    match = re.search(rf"^#define\s+{macro}\s+(\d+)", _read(os.path.join(home, "include", header)), re.MULTILINE)
    if not match:
        return ""
    number = int(match.group(1))
    major_unit = 1000 if minor_unit == 10 else 10000
    return f"{number // major_unit}.{number % major_unit // minor_unit}"


def minor(version: str) -> str:
    """Return major.minor of a version."""
    return ".".join(version.split(".")[:2])


def identity(release: str) -> str:
    """Return a digest of the files that the smoke test depends on, in the release and the host's compiler: sizes and modification times only.

    Paths are relative to the release, so it may be renamed.
    """
    home = os.path.join(release, "cuda")
    seen: list[t.Any] = []
    for name in _IDENTIFYING:
        seen.append([name, _state(os.path.join(home, name))])
    seen.append(["torch", _state(os.path.join(site_packages(release), "torch", "version.py"))])
    seen.append(["c++", _state(shutil.which("c++", path="/usr/local/bin:/usr/bin:/bin") or "")])
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def read_record(release: str) -> dict[str, t.Any]:
    """Return the result of a release's smoke test; empty when there is none, or it is not readable."""
    try:
        found = json.loads(_read(os.path.join(release, RECORD)) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def stale(release: str, record: t.Mapping[str, t.Any], gpus: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Return what has changed since the smoke test of a release; an empty list means that its result is still valid."""
    if not record:
        return ["no smoke test has passed"]
    changed = []
    if record.get("identity") != identity(release):
        changed.append("the toolkit or the host's compiler has changed")
    drivers = sorted({gpu["driver_version"] for gpu in gpus if gpu.get("driver_version")})
    if drivers and record.get("driver") != drivers[0]:
        changed.append(f"the driver is {drivers[0]} now and was {record.get('driver') or 'not there'}")
    new = sorted({gpu["compute_capability"] for gpu in gpus if gpu.get("compute_capability")} - set(record.get("architectures", [])))
    if new:
        changed.append(f"there are GPUs of compute capability {', '.join(new)}")
    return changed


def read_releases(folder: str, gpus: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Return, for each release in a folder that has a toolkit, its CUDA, what its smoke test covered, and what has changed since then."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*", "cuda"))):
        release = os.path.dirname(path)
        record = read_record(release)
        found[os.path.basename(release)] = {
            "cuda": record.get("cuda", ""),
            "driver": record.get("driver", ""),
            "architectures": record.get("architectures", []),
            "changed": stale(release, record, gpus),
        }
    return found


def _state(path: str) -> list[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
