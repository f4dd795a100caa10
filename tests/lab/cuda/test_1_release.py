# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles built: a toolkit of one CUDA that compiles in its shared environment, and no work in a second run."""

from __future__ import annotations

import json
from collections.abc import Callable

from lab import Play
from testinfra.host import Host

KERNEL = '__global__ void nothing() {}\\nint main() { nothing<<<1,1>>>(); return cudaDeviceSynchronize() == cudaSuccess; }\\n'
ARCHITECTURES = ["8.0", "9.0", "10.0", "12.0"]


def test_every_part_is_of_torchs_cuda(host: Host, release: str) -> None:
    found = json.loads(host.file(f"{release}/cuda.json").content_string)
    assert found["cuda"] == "13.0" and found["architectures"] == ARCHITECTURES and found["ran"] == []
    assert set(found["parts"]) == {"nvcc", "ptxas", "cudart", "cupti", "nvrtc", "nvvm", "crt", "cccl"}
    assert set(found["parts"].values()) == {"13.0"}


def test_torch_for_processors_was_not_taken(host: Host, release: str) -> None:
    """It lies among the same wheels, and counts as newer."""
    assert host.file("/srv/cuda-wheels/torch-2.13.0+cpu-py3-none-any.whl").exists
    assert "torch==2.13.0+aa" in host.file(f"{release}/requirements.lock").content_string


def test_layout_names_nothing_that_is_gone(host: Host, release: str) -> None:
    """The release was built under another name."""
    assert host.check_output(f"find {release} -xtype l") == ""
    assert host.run(f"grep -rIl building- {release} --include=cuda.env --include=with-cuda --include=cuda.json").stdout == ""
    for name in ("lib64/libcudart.so", "lib64/libnvrtc.so", "lib64/stubs/libcuda.so", "include/cuda.h", "bin/ptxas"):
        assert host.file(f"{release}/cuda/{name}").exists


def test_the_services_account_compiles_and_links(host: Host, release: str) -> None:
    """In the environment that units have, written for people, with nothing of a login shell: a program with device code, as nvcc links it."""
    folder = host.check_output("install -d -o inferops /var/tmp/compile && echo /var/tmp/compile")
    host.check_output(f"printf '%b' '{KERNEL}' > {folder}/a.cu")
    done = host.run(
        f"cd / && env -i /usr/sbin/runuser -u inferops -- {release}/bin/with-cuda sh -c 'cd {folder} && nvcc -arch=sm_90 -cudart shared a.cu -o a -lcudart -lcuda && ninja --version'"
    )
    assert done.rc == 0, done.stdout + done.stderr
    assert "libcudart.so.13" in host.check_output(f"readelf -d {folder}/a")
    host.check_output(f"rm -rf {folder}")


def test_lists_of_paths_have_no_holes(host: Host, release: str) -> None:
    lines = host.file(f"{release}/cuda.env").content_string.splitlines()
    lists = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert {"CUDA_HOME", "PATH", "CPATH", "LIBRARY_PATH", "LD_LIBRARY_PATH"} == set(lists)
    assert not any("" in value.split(":") for value in lists.values())


def test_a_second_run_compiles_and_installs_nothing(host: Host, release: str, converge: Callable[..., Play]) -> None:
    """Nothing changes, nothing is tested, no build is started and no package tool is run."""
    unit = host.check_output("systemctl list-units --all --plain --no-legend 'inferops-release-*' | cut -d' ' -f1") or "none"
    before = host.check_output(f"stat -c %Y.%i {release}/cuda.json; systemctl show -p InvocationID {unit}")
    # What was read last in the toolkit and in uv: relatime notes the first access after a change, so make that now.
    tools = f"{release}/cuda/bin/nvcc {release}/cuda/nvvm/bin/cicc /opt/inferops/bin/uv /usr/bin/apt-get"
    host.check_output(f"touch -a -d '2 days ago' $(readlink -f {tools})")
    accessed = host.check_output(f"stat -L -c '%n %X' {tools}")
    second = converge()
    assert second.status == 0, second.output[-3000:]
    assert second.recap["lab-cuda1"]["changed"] == 0
    assert host.check_output(f"stat -c %Y.%i {release}/cuda.json; systemctl show -p InvocationID {unit}") == before
    assert host.check_output(f"stat -L -c '%n %X' {tools}") == accessed
