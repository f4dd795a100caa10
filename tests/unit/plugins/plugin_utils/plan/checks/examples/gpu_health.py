# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of GPUs, as the host reports it. Every fix is something to do on the host."""

from __future__ import annotations

from typing import Any

from example_builders import Example, accepting, example, one
from plan_builders import host_facts, service


def sick(name: str, cause: str, fix: str, gpu: int | None = 3, level: str = "warning") -> Any:
    """A host with one finding."""
    return host_facts(gpu_health=[{"name": name, "gpu": gpu, "uuid": "", "level": level, "cause": cause, "action": "reset_gpu", "fix": fix}])


def mended(name: str, cause: str, fix: str, gpu: int | None = 3, level: str = "warning") -> Example:
    return example(name, one(service(), facts=sick(name, cause, fix, gpu, level)), fix, one(service(), facts=host_facts()), on_host=("gpu_health",))


FABRIC = sick("gpu-fabric", "is not registered with the NVSwitches", "start Fabric Manager", 0, "error")

EXAMPLES = [
    mended("gpu-recovery", "is not fully usable: the driver's recovery action is Drain P2P", "query it again"),
    mended("gpu-recovery", "has to be reset: the driver requires a reset", "nvidia-smi --gpu-reset -i 3", level="error"),
    mended("gpu-ecc", "has a pending row remapping", "when no service uses it: reset it"),
    mended("gpu-ecc", "has to be reset: row remapping pending", "nvidia-smi --gpu-reset -i 3", level="error"),
    mended("gpu-xid", "has reported XID 119", "nvidia-smi --gpu-reset -i 3", level="error"),
    mended("gpu-xid", "has reported XID 13", "look for an error of the program"),
    mended("gpu-fabric", "has a connection to the NVSwitches that is not healthy", "reboot", 1),
    mended("gpu-fabric", "The service nvidia-fabricmanager is failed", "systemctl restart nvidia-fabricmanager", None),
    mended("gpu-nvlink", "has 4 active NVLinks", "reset it"),
    mended("gpu-clocks", "runs with lower clocks", "check the host's cooling"),
    mended("gpu-pcie", "uses less than its PCIe link: width x8 of x16", "reseat the card"),
    mended("gpu-persistence", "has persistence mode disabled", "systemctl enable --now nvidia-persistenced"),
    mended("gpu-processes", "is also used by process 7", "end it"),
    mended("gpu-driver", "The driver was updated and waits for a reboot", "reboot the host", None),
    mended("driver-hold", "Unattended upgrades may update the driver", "apt-mark hold libnvidia-compute-580", None),
    mended("gpu-health", "The kernel's log cannot be read", "read it with dmesg", None),
    # A GPU of another service, or of none, is nobody's error.
    example(
        "gpu-ecc", one(service(gpus=[3]), facts=sick("gpu-ecc", "has to be reset", "reset it", level="error")), "or choose other GPUs with gpus",
        one(service(gpus=[2]), facts=sick("gpu-ecc", "has to be reset", "reset it", level="error")),
    ),
    example(
        "gpu-ecc", one(service(), facts=sick("gpu-ecc", "has to be reset", "reset it", level="error")), "accept it as gpu-ecc in plan_accept",
        accepting(one(service(), facts=sick("gpu-ecc", "has to be reset", "reset it", level="error")), gpu_ecc="it is tested"),
    ),
    example("gpu-fabric", one(service(), facts=FABRIC), "start Fabric Manager", one(service(), facts=host_facts()), on_host=("gpu_health",)),
]
