# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs: the driver, each GPU, Fabric Manager, the CUDA toolkit of releases, and the findings of the facts' own health check."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils import _nvidia
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import ERROR, Finding, error, warning

from .host import Findings, Host


def check(host: Host) -> Findings:
    """What nvidia-smi, AMD's tools and the releases' records say."""
    facts = host.facts
    if facts.get("gpu_error"):
        yield error("driver", f"nvidia-smi fails: {facts['gpu_error']}", _nvidia.fix_of(facts["gpu_error"]))
    amd = facts.get("amd") or {}
    if amd.get("error"):
        yield error("driver", f"the host cannot report its AMD GPUs: {amd['error']}", str(amd.get("fix") or ""))
    for gpu in facts.get("gpus", ()):
        if gpu.get("error"):
            yield error("gpu", f"GPU {gpu['index']} has an error: {gpu['error']}", _nvidia.gpu_fix(gpu["error"], str(gpu["index"])), _user(host, gpu["index"]))
    module, fabric = facts.get("driver_module", ""), facts.get("fabric_manager", "")
    if facts.get("nvswitches") and module and fabric != module:
        cause = f"the host has NVSwitches, the kernel module is {module} and Fabric Manager is {fabric or 'not installed'}: CUDA fails with error 802"
        yield error("fabric-manager", cause, "systemctl status nvidia-fabricmanager; dpkg -l 'nvidia-fabricmanager*'")
    yield from _toolkits(host)
    for item in facts.get("gpu_health", ()):
        yield of_health(item)


def of_health(item: Mapping[str, Any]) -> Finding:
    """A finding of the health check in host_facts: C(name), C(gpu), C(level), C(cause), C(action) and C(fix)."""
    which = f"GPU {item['gpu']}: " if item.get("gpu") is not None else ""
    build = error if item.get("level") == ERROR else warning
    command = str(item.get("action") or item.get("fix") or "")
    return build(str(item.get("name") or "gpu-health"), f"{which}{item.get('cause', '')}", command, detail=str(item.get("fix") or ""))


def _toolkits(host: Host) -> Findings:
    """Whether the smoke test of each release in use still holds."""
    used: dict[str, str] = {unit["release"]: unit["service"] for unit in host.running if unit.get("release")}
    used.update({service["release"]: service["name"] for service in host.services if service.get("release")})
    for name, record in host.facts.get("cuda_releases", {}).items():
        if name in used and record.get("changed"):
            cause = f"the smoke test of the CUDA toolkit of {name} does not hold any more: {'; '.join(record['changed'])}"
            yield warning("cuda-smoke-test", cause, "ansible-playbook site.yml --tags cuda", used[name])


def _user(host: Host, index: int) -> str:
    """The service that uses a GPU; empty when it is none or several."""
    users = {unit["service"] for unit in host.facts.get("services", ()) if index in (unit.get("gpus") or ())}
    return users.pop() if len(users) == 1 else ""
