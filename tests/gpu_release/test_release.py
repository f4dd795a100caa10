# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The release of the real vLLM for GPUs that run.sh had the roles build: it compiles what vLLM compiles, and its parser takes the catalogue."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import parsing  # noqa: E402
import planned  # noqa: E402

NAME = "lab-cuda1"
SSH_CONFIG = str(ROOT / ".lab" / "ssh" / f"config-{os.environ['LAB_NAME']}")

# FlashInfer's sampling kernels for Hopper, as vLLM has them compiled at its first request; no GPU takes part.
FLASHINFER = (
    "import flashinfer.jit.sampling as sampling; spec = sampling.gen_sampling_module(); "
    "spec.build(verbose=False); print(spec.get_library_path())"
)


@pytest.fixture(scope="module")
def host() -> Host:
    return testinfra.get_host(f"ssh://{NAME}", ssh_config=SSH_CONFIG, sudo=True)


@pytest.fixture(scope="module")
def release(host: Host) -> str:
    return host.check_output("ls -d /opt/inferops/real/vllm-*")


def test_toolkit_is_of_torchs_cuda(host: Host, release: str) -> None:
    smoke_test = json.loads(host.file(f"{release}/cuda.json").content_string)
    built = json.loads(host.file(f"{release}/release.json").content_string)
    print(f"\nbuilt in {built['seconds']} s, smoke test in {smoke_test['seconds']} s; {host.check_output(f'du -sh {release}').split()[0]}")
    assert built["verification"]["version"] == "0.32.0" and built["verification"]["cuda"] == smoke_test["cuda"] == "13.0"
    assert set(smoke_test["parts"].values()) == {"13.0"} and smoke_test["architectures"] == ["8.0", "9.0", "10.0", "12.0"]


def test_flashinfer_compiles(host: Host, release: str) -> None:
    """A real JIT build in the environment of the units, as the account of the services."""
    work = "/var/tmp/flashinfer"
    host.check_output(f"rm -rf {work} && install -d -o inferops {work}")
    done = host.run(
        f"cd / && env -i /usr/sbin/runuser -u inferops -- env FLASHINFER_WORKSPACE_BASE={work} HOME={work} FLASHINFER_CUDA_ARCH_LIST=9.0a MAX_JOBS=2"
        f" {release}/bin/with-cuda python -c '{FLASHINFER}'"
    )
    assert done.rc == 0, (done.stdout + done.stderr)[-3000:]
    assert host.file(done.stdout.splitlines()[-1]).size > 100_000
    host.check_output(f"rm -rf {work}")


def test_parser_takes_every_entry_of_the_catalogue(host: Host, release: str) -> None:
    """With each of its profiles and presets."""
    lines = planned.whole_catalogue(planned.Planner())
    assert len(lines) > 500
    remote = f"sudo -u inferops env HOME=/var/tmp {release}/bin/python -"
    refused = parsing.errors(["ssh", "-F", SSH_CONFIG, NAME, remote], lines)
    print(f"\n{len(lines)} command lines, {len(refused)} refused")
    assert not refused, "\n".join(f"{label}: {error}" for label, error in refused.items())
