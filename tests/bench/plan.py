#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long planning takes as an inventory grows: 10 to 1,000 hosts, two services each, nobody asked.

    python tests/bench/plan.py [RUNS]      RUNS: 3; the fastest counts

Prints seconds of the processor for working out the plan alone, without and with weights that hosts fetch from each other, the size of the file
that plan_output writes in both cases, and seconds for the whole of `ansible-playbook playbooks/plan.yml -e plan_offline=true` up to 200 hosts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from pathlib import Path
from typing import Any

import yaml

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "plan" / "files"
HOSTS = (10, 50, 100, 200, 500, 1000)
# The playbook reads the inventory and templates each host's variables; beyond this it is Ansible alone that takes longer.
PLAYBOOK_HOSTS = 200
# As playbooks/tasks/write_plan.yml writes it.
INDENT = 1

_AnsibleCollectionFinder(paths=[str(ROOT / "collections")])._install()

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import catalogue
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import HostInput
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import resolve
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.vllm import tables

MODELS = ("qwen3-235b-a22b-instruct-2507-fp8", "glm-4.7-flash", "qwen3-32b", "llama-3.3-70b-instruct")


def host_variables(number: int) -> dict[str, Any]:
    """A host of 8 GPUs with two services on 4 of them each."""
    gpu = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 81559 * 2**20, "compute_capability": "9.0", "driver_version": "580.65.06"}
    services = [
        {"name": f"s{half}", "model": MODELS[(number + half) % len(MODELS)], "port": 8001 + half, "gpus": list(range(4 * half, 4 * half + 4)), "api_key": "k"}
        for half in (0, 1)
    ]
    for service in services:
        service["vllm_args"] = {"max_model_len": 16384}
    return {"plan_gpus": [{"index": index, **gpu} for index in range(8)], "model_services": services}


def read_all() -> tuple[dict[str, Any], catalogue.Catalogue, tables.Tables]:
    """What ships: defaults of the roles, the catalogue, the tables."""
    defaults: dict[str, Any] = {}
    for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        defaults.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    families = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((FILES / "catalogue").glob("*.yml"))]
    contents = {
        key: (json.loads if name.endswith(".json") else yaml.safe_load)((FILES / name).read_text(encoding="utf-8")) for key, name in tables.FILES.items()
    }
    return defaults, catalogue.built_in(families), tables.build(contents)


def resolve_cost(count: int, share: str, shipped: tuple[dict[str, Any], catalogue.Catalogue, tables.Tables]) -> tuple[float, int]:
    """Seconds of the processor for the plan of so many hosts, everything read already, and bytes of its file."""
    hosts = [
        HostInput(f"gpu{number}", {**host_variables(number), "weights_share": share, "ansible_host": f"10.0.{number // 250}.{number % 250 + 1}"})
        for number in range(count)
    ]
    began = time.process_time()
    made = resolve(hosts, *shipped)
    seconds = time.process_time() - began
    if made.errors or len(made.hosts) != count:
        raise SystemExit(f"the plan has errors: {made.errors[:3]}")
    return seconds, len(json.dumps({"hosts": made.hosts, "errors": [], "warnings": made.warnings}, indent=INDENT))


def playbook_seconds(count: int, folder: Path) -> float:
    """Seconds for the playbook from its start to its end."""
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {f"gpu{number}": host_variables(number) for number in range(count)}}}))
    command = ["ansible-playbook", "-i", str(folder / "inventory.json"), str(ROOT / "playbooks" / "plan.yml"), "-e", "plan_offline=true"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(done.stdout[-4000:])
    return seconds


def main() -> None:
    """Print a line for each size."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    began = time.perf_counter()
    shipped = read_all()
    print(f"reading catalogue and tables: {time.perf_counter() - began:.2f} s; {os.cpu_count()} cores; the fastest of {runs} runs")
    print(f"{'hosts':>6} {'services':>9} {'alone':>9} {'file':>9} {'peers':>9} {'file':>9} {'playbook':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for count in HOSTS:
            alone, size = min(resolve_cost(count, "none", shipped) for _ in range(runs))
            peers, size_of_peers = min(resolve_cost(count, "peer", shipped) for _ in range(runs))
            line = f"{count:>6} {2 * count:>9} {alone:>7.2f} s {size / 10**6:>6.1f} MB {peers:>7.2f} s {size_of_peers / 10**6:>6.1f} MB"
            if count <= PLAYBOOK_HOSTS:
                line += f" {min(playbook_seconds(count, Path(folder)) for _ in range(runs)):>8.2f} s"
            print(line, flush=True)


if __name__ == "__main__":
    main()
