# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release's CUDA toolkit without CUDA: what torch is built for, how it is linked, when a smoke test holds, and whose caches go.

That it compiles, and that broken ones do not pass, is shown with the real toolkit in molecule/cuda.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _cuda_toolkit
from ansible_collections.inferops.gpu.plugins.module_utils.cuda import clear_caches, link, smoke_test

SITE = "lib/python3.11/site-packages"
GPUS = [{"driver_version": "580.95.05", "compute_capability": "9.0"}]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release whose torch is for CUDA 13.0, with files where the wheels have them."""
    folder = tmp_path / ".building-vllm-1"
    torch(folder, "2.13.0", "'13.0'")
    home = folder / SITE / "nvidia" / "cu13"
    for name in ("bin/nvcc", "lib/libcudart.so.13", "lib/libnvrtc.so.13", "lib/libnvrtc.alt.so.13", "lib/libnvrtc-builtins.so.13.0", "include/cuda.h"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    (folder / "bin").mkdir()
    return folder


def torch(folder: Path, version: str, cuda: str) -> None:
    """Write what torch says of itself, as the real one does."""
    path = folder / SITE / "torch" / "version.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"from typing import Optional as _Optional\n\n__version__ = '{version}'\ndebug = False\ncuda: _Optional[str] = {cuda}\ngit_version = 'a'\n")


@pytest.mark.parametrize(("written", "read"), [("'13.0'", ("2.13.0", "13.0")), ("None", ("2.13.0", "")), ('"12.8"', ("2.13.0", "12.8"))])
def test_torch_is_read_and_not_imported(tmp_path: Path, written: str, read: tuple[str, str]) -> None:
    torch(tmp_path, "2.13.0", written)
    assert _cuda_toolkit.torch_build(str(tmp_path)) == read
    assert _cuda_toolkit.torch_build(str(tmp_path / "none")) == ("", "")


def test_layout_survives_its_release_being_renamed(release: Path, tmp_path: Path) -> None:
    final = tmp_path / "vllm-1"
    module = link
    module.link_toolkit(str(release), str(final), "")
    os.rename(release, final)
    home = final / "cuda"
    assert (home / "lib64/libcudart.so").resolve() == final / SITE / "nvidia/cu13/lib/libcudart.so.13"
    assert (home / "lib64/libnvrtc.so").exists() and not (home / "lib64/libnvrtc.alt.so").exists()
    assert (home / "lib64/stubs/libcuda.so").stat().st_size > 0
    links = [path for path in final.rglob("*") if path.is_symlink()]
    assert links and not any(os.path.isabs(os.readlink(path)) for path in links)
    said = subprocess.run([final / "bin/with-cuda", "sh", "-c", 'echo "$CUDA_HOME|$PATH"'], capture_output=True, text=True, check=True).stdout.strip()
    assert said.split("|")[0] == str(home) and said.split("|")[1].startswith(f"{final}/bin:{home}/bin:")
    module.link_toolkit(str(final), str(final), "")


def test_another_toolkit(release: Path, tmp_path: Path) -> None:
    toolkit = tmp_path / "cuda-13.0"
    module = link
    with pytest.raises(module.ToolkitError, match=r"cuda_system_path"):
        module.link_toolkit(str(release), "/opt/r", str(toolkit))
    (toolkit / "bin").mkdir(parents=True)
    (toolkit / "bin/nvcc").write_text("")
    module.link_toolkit(str(release), "/opt/r", str(toolkit))
    assert (release / "cuda").resolve() == toolkit and sorted(os.listdir(toolkit)) == ["bin"]
    assert "LD_LIBRARY_PATH" not in (release / "cuda.env").read_text()


@pytest.mark.parametrize(
    ("cuda", "said"),
    [("None", r"torch 2\.13\.0\+cpu is a build without CUDA.*torch==2\.13\.0,!=2\.13\.0\+cpu to vllm_overrides"), ("'12.8'", r"its wheels contain no nvcc.*cuda_source: system")],
)
def test_layouts_that_cannot_be(release: Path, cuda: str, said: str) -> None:
    torch(release, "2.13.0+cpu", cuda)
    module = link
    with pytest.raises(module.ToolkitError, match=said):
        module.link_toolkit(str(release), "/opt/r", "")


def test_parts_of_several_releases() -> None:
    module = smoke_test
    module.check_parts({"nvcc": "13.0", "crt": "13.0"}, "13.0", "Cure.")
    with pytest.raises(module.ToolkitError) as told:
        module.check_parts({"nvcc": "13.5", "cudart": "13.0", "nvvm": "13.5", "cccl": ""}, "13.0", "Cure.")
    assert str(told.value) == "torch is built for CUDA 13.0, but the toolkit has nvcc 13.5, nvvm 13.5 (version 13.0: cudart) and lacks cccl. Cure."


def test_bindings_that_two_packages_bring(tmp_path: Path) -> None:
    for name, record in {"cuda_bindings-13.5.0": "cuda/bindings/runtime.so,,\n", "cuda_python-13.4.4": "cuda_python-13.4.4.dist-info/METADATA,,\n"}.items():
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info/RECORD").write_text(record)
    toolkit = _cuda_toolkit
    assert toolkit.doubled_bindings(str(tmp_path)) == ""
    (tmp_path / "cuda_python-13.4.4.dist-info").rename(tmp_path / "cuda_python-12.6.2.post1.dist-info")
    (tmp_path / "cuda_python-12.6.2.post1.dist-info/RECORD").write_text("a,,\ncuda/bindings/runtime.cpython-311.so,sha256=a,1\n")
    assert toolkit.doubled_bindings(str(tmp_path)) == "cuda-bindings-13.5.0 and cuda-python-12.6.2.post1"


@pytest.mark.parametrize(
    ("stated", "gpus", "found"),
    [("", GPUS, ["9.0"]), ("12.0,9.0", GPUS, ["9.0", "12.0"]), ("8.0", [], ["8.0"]), ("8.0", [{"compute_capability": None}], ["8.0"])],
)
def test_architectures(stated: str, gpus: list[dict[str, Any]], found: list[str]) -> None:
    assert smoke_test.wanted_architectures(stated, gpus) == found


@pytest.mark.parametrize(("stated", "said"), [("", "no GPU to compile for"), ("sm_90", "not a compute capability")])
def test_no_architectures(stated: str, said: str) -> None:
    module = smoke_test
    with pytest.raises(module.ToolkitError, match=said):
        module.wanted_architectures(stated, [])


def test_when_a_smoke_test_holds(release: Path, tmp_path: Path) -> None:
    """Until the toolkit, the driver or the GPUs change; a rename is no change."""
    toolkit = _cuda_toolkit
    link.link_toolkit(str(release), str(tmp_path / "vllm-1"), "")
    record = {"cuda": "13.0", "identity": toolkit.identity(str(release)), "driver": "580.95.05", "architectures": ["9.0"]}
    (release / "cuda.json").write_text(json.dumps(record))
    final = tmp_path / "releases" / "vllm-1"
    final.parent.mkdir()
    os.rename(release, final)

    def changed(gpus: list[dict[str, Any]]) -> list[str]:
        return list(toolkit.read_releases(str(final.parent), gpus)["vllm-1"]["changed"])

    assert changed(GPUS) == [] and changed([]) == []
    assert changed([{**GPUS[0], "driver_version": "590.1"}]) == ["the driver is 590.1 now and was 580.95.05"]
    assert changed([{**GPUS[0], "compute_capability": "12.0"}]) == ["there are GPUs of compute capability 12.0"]
    (final / "cuda/bin/nvcc").write_text("another")
    assert changed(GPUS) == ["the toolkit or the host's compiler has changed"]
    (final / "cuda.json").write_text("cut sh")
    assert changed(GPUS) == ["no smoke test has passed"]


def test_caches_of_another_cuda(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go when the CUDA changes and at no other time, and nothing else goes."""
    clear = clear_caches.clear
    cache = tmp_path / "cache"
    outside = tmp_path / "outside"
    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache / "triton"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(outside))
    monkeypatch.setenv("FLASHINFER_WORKSPACE_BASE", str(cache))
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(cache / "vllm"))
    kernels = [cache / name for name in ("triton", ".cache/flashinfer", "vllm/torch_compile_cache")]
    kept = [outside, cache / "huggingface", cache / "vllm/assets"]

    def fill() -> None:
        for folder in (*kernels, *kept):
            folder.mkdir(parents=True, exist_ok=True)

    fill()
    assert sorted(clear(str(release), str(cache))) == sorted(map(str, kernels))
    fill()
    assert clear(str(release), str(cache)) == []
    torch(release, "2.15.0", "'13.2'")
    assert sorted(clear(str(release), str(cache))) == sorted(map(str, kernels))
    assert not any(folder.exists() for folder in kernels) and all(folder.exists() for folder in kept)
    assert clear(str(release), str(cache)) == []


@pytest.mark.parametrize(
    ("module", "paths", "fix"),
    [
        ("580.95.05", ["cuda-13/compat/libcuda.so.550.54.15", "lib/libcuda.so.580.95.05"], "a reboot does not help"),
        ("580.95.05", ["old/libcuda.so.535.104.05", "lib/libcuda.so.580.95.05"], "Remove its folder from /etc/ld.so.conf.d"),
        ("550.54.15", ["lib/libcuda.so.580.95.05"], "reboot to load the new module"),
        ("580.95.05", [], "ldconfig -p lists no libcuda.so.1"),
        ("580.95.05", ["lib/libcuda.so.580.95.05"], "if the error persists"),
        ("", ["lib/libcuda.so.580.95.05"], "if the error persists"),
    ],
)
def test_error_803_says_which_library_the_loader_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, paths: list[str], fix: str,
) -> None:
    """A stand-in for ldconfig lists libraries that are links to a driver's, as theirs are."""
    lines = []
    for name in paths:
        library = tmp_path / name
        library.parent.mkdir(parents=True, exist_ok=True)
        library.write_text("")
        link = library.parent / "libcuda.so.1"
        link.symlink_to(library.name)
        lines.append(f"\tlibcuda.so.1 (libc6,x86-64) => {link}")
    (tmp_path / "listed").write_text("\n".join(["2 libs found", *lines, "\tlibc.so.6 (libc6,x86-64) => /lib/libc.so.6", ""]))
    command = tmp_path / "ldconfig"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/listed\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    loaded = tmp_path / "version"
    if module:
        loaded.write_text(module + "\n")
    assert fix in smoke_test.library_fix(str(loaded))


def test_other_errors_ask_no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_test, "library_fix", lambda: "see the loader")
    assert smoke_test.explain(803).endswith("see the loader") and "loader" not in smoke_test.explain(802)
