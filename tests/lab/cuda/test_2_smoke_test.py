# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smoke test: a toolkit that does not compile or link fails it, and it runs again only if the host has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from lab import Play
from testinfra.host import Host

COPY = "/opt/inferops/spoilt"
INSTALL = (
    "env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_CACHE_DIR=/var/cache/inferops/uv"
    f" /opt/inferops/bin/uv pip install --quiet --no-deps --python {COPY}/bin/python"
)
SMOKE_TEST = "/usr/bin/python3 /opt/inferops/lib/current cuda.smoke_test --architectures 9.0 --release"


@pytest.fixture
def spoilt(host: Host, release: str) -> Iterator[Callable[..., str]]:
    """A copy of the release with something done to it; returns the output of the smoke test. Its files are links: nothing writes into one."""

    def smoke_test(*commands: str) -> str:
        host.check_output(f"rm -rf {COPY} && cp -al {release} {COPY}")
        for command in commands:
            done = host.run(command.format(copy=COPY, install=INSTALL))
            assert done.rc == 0, done.stdout + done.stderr
        found = host.run(f"{SMOKE_TEST} {COPY}")
        assert found.rc == 1, found.stdout
        return " ".join(found.stderr.split())

    yield smoke_test
    host.check_output(f"rm -rf {COPY}")


def test_a_plain_install(spoilt: Callable[..., str]) -> None:
    """What vLLM 0.32.0 brings when nothing but vLLM is asked for: the newest compiler beside torch's runtime."""
    said = spoilt("{install} nvidia-cuda-nvcc==13.5.37 nvidia-nvvm==13.5.37 nvidia-cuda-crt==13.5.37 nvidia-cuda-cccl==13.3.5.0.6")
    assert "torch is built for CUDA 13.0, but the toolkit has nvcc 13.5, ptxas 13.5, nvvm 13.5, crt 13.5, cccl 13.3 (version 13.0: cudart, cupti, nvrtc)" in said
    assert "resolved together with torch" in said


def test_a_floating_nvvm(spoilt: Callable[..., str]) -> None:
    """nvcc --version is all right, and what it compiles is not."""
    said = spoilt("{install} nvidia-nvvm==13.5.37 nvidia-cuda-crt==13.5.37")
    assert "but the toolkit has nvvm 13.5, crt 13.5" in said


def test_a_floating_nvvm_that_nobody_speaks_of(spoilt: Callable[..., str]) -> None:
    """Where no package says its version, compiling tells."""
    said = spoilt(
        "{install} nvidia-nvvm==13.5.37 nvidia-cuda-crt==13.5.37",
        "cd {copy}/lib/python3.*/site-packages && mv nvidia_nvvm-13.5.37.dist-info nvidia_nvvm-13.0.88.dist-info"
        " && mv nvidia_cuda_crt-13.5.37.dist-info nvidia_cuda_crt-13.0.88.dist-info",
    )
    assert "nvcc cannot compile for 9.0" in said and "Unsupported .version 9.5" in said


def test_a_missing_libcudart(spoilt: Callable[..., str]) -> None:
    said = spoilt("rm {copy}/cuda/lib/libcudart.so")
    assert "nvcc's output cannot be linked" in said and "cannot find -lcudart" in said


def test_no_libraries_where_jit_builds_look(spoilt: Callable[..., str]) -> None:
    said = spoilt("rm {copy}/cuda/lib64")
    assert "lacks nvrtc" in said or "cannot find -lcudart" in said


def test_no_headers_of_cccl(spoilt: Callable[..., str]) -> None:
    assert "cuda/std/cstdint: No such file" in spoilt("mv {copy}/cuda/include/cccl {copy}/cuda/include/elsewhere")


def test_no_ninja(spoilt: Callable[..., str]) -> None:
    assert "JIT builds need ninja" in spoilt("rm {copy}/bin/ninja")


def test_an_architecture_that_the_cuda_does_not_know(host: Host, release: str) -> None:
    found = host.run(f"/usr/bin/python3 /opt/inferops/lib/current cuda.smoke_test --architectures 7.0 --release {release}")
    assert found.rc == 1 and "compute_70" in found.stderr and "cuda_architectures" in found.stderr


def test_a_changed_compiler_is_tested_once(host: Host, release: str, converge: Callable[..., Play]) -> None:
    """The host's compiler is part of what makes kernels."""
    former = json.loads(host.file(f"{release}/cuda.json").content_string)
    host.check_output("touch $(readlink -f /usr/bin/c++)")
    again = converge()
    assert again.status == 0, again.output[-3000:]
    assert "the host's compiler has changed" in again.output
    now = json.loads(host.file(f"{release}/cuda.json").content_string)
    assert now["identity"] != former["identity"] and now["parts"] == former["parts"]
    assert converge().recap["lab-cuda1"]["changed"] == 0


def test_gpus_that_do_not_compute_stop_the_play(host: Host, release: str, converge: Callable[..., Play]) -> None:
    """GPUs appear, as nvidia-smi says, and there is no driver's library to run on: reported before any service is touched, and the result of the smoke test stays."""
    former = host.file(f"{release}/cuda.json").content_string
    shown = "0, GPU-1, NVIDIA H100 80GB HBM3, 81559, 580.95.05, 9.0, Disabled, P0, 30, 0, None"
    host.check_output(f"printf '#!/bin/sh\\necho \"{shown}\"\\n' > /usr/local/bin/nvidia-smi && chmod 755 /usr/local/bin/nvidia-smi")
    try:
        played = converge()
    finally:
        host.check_output("rm /usr/local/bin/nvidia-smi")
    assert played.status != 0
    told = played.said
    assert "the driver is 580.95.05 now and was not there" in told
    assert "does not pass the smoke test: the kernel compiles, but does not run with driver 580.95.05: GPU 0 (NVIDIA H100 80GB HBM3)" in told
    assert "No service was touched." in told
    assert host.file(f"{release}/cuda.json").content_string == former
