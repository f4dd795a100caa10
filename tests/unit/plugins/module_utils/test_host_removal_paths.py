# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever path a role writes on a host, the removal of the host knows: read from the roles themselves, so that no new one is forgotten."""

from __future__ import annotations

import fnmatch
import os
import re

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.inferops.gpu.plugins.module_utils import _green, _host, _host_removal, _library
from ansible_collections.inferops.gpu.plugins.module_utils._kernel import files as kernel_files
from ansible_collections.inferops.gpu.plugins.modules import host_proxy
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.host import directories

ROLES = Path(__file__).resolve().parents[4] / "roles"
# Modules that leave no file of their own on a host, or take some away.
READ = {
    "builtin": "apt assert command debug fail group getent import_role import_tasks include_role include_tasks include_vars meta reboot set_fact set_stats slurp stat "
               "systemd_service uri user wait_for",
    "inferops.gpu": "api_check deployed_state firewall_confirm follow_unit follow_units gpu_facts host_facts kernel_settings monitoring_facts monitoring_program plan prune_releases run_report "
                    "service_heal "
                    "multi_node_network weights_digest weights_folder weights_probe weights_units service_accounts",
}
# Of modules that write: where. What a module's own code says stands here as it says it.
PATHS = {
    "ansible.builtin.copy": lambda given: [given["dest"]],
    # Where they are among its arguments: to remove services it has none.
    "inferops.gpu.service_state": lambda given: [given["environments"]] if "environments" in given else [],
    "inferops.gpu.service_control": lambda given: [],
    # All of it is in /run, and goes with the temporary unit (_green.files).
    "inferops.gpu.service_green": lambda given: [],
    "ansible.builtin.template": lambda given: [given["dest"]],
    "ansible.builtin.file": lambda given: [given["path"]] if given["state"] != "absent" else [],
    "ansible.builtin.lineinfile": lambda given: [given["path"]],
    "inferops.gpu.managed_tree": lambda given: [f"{given['path']}/{name}" for name in given["files"]] if isinstance(given["files"], dict) else [given["path"]],
    "inferops.gpu.directories": lambda given: [row["path"] for row in given["directories"]] if isinstance(given["directories"], list) else [*given.values()],
    "inferops.gpu.host_firewall": lambda given: [f"{given['state_dir']}/firewall"],
    "inferops.gpu.host_proxy": lambda given: list(host_proxy.wanted_files(SimpleNamespace(params={"name": "inferops", "password": "", **given, "proxy": {}}))),
    "inferops.gpu.python_tool": lambda given: [f"{given['install_dir']}/{one}" for one in (f"tools/{given['name']}", f"bin/{given['commands'][0]}")],
    "inferops.gpu.service_files": lambda given: ["{{ item.0.files.folder }}/{{ item.1.name }}"],
    "inferops.gpu.host_library": lambda given: [f"{given['path']}/digest", "{{ plan_host.paths.library }}"],
    "inferops.gpu.service_last_known_good": lambda given: ["{{ plan_host.paths.state }}/served/{{ item.name }}.json"],
    "inferops.gpu.service_adapters": lambda given: ["{{ plan_host.paths.config }}/adapters/{{ item.name }}.json"],
    "inferops.gpu.multi_node_token": lambda given: [f"{given['directory']}/{{{{ item.name }}}}"],
    "inferops.gpu.vllm_arguments": lambda given: [given["stamp"]],
    "inferops.gpu.weights_share": lambda given: ["{{ __weights_item.path }}.share"],
}
# Every path that roles write, as it is there on a host; CONFIG and so on are the folders of the inventory.
EXAMPLES = {
    "{{ item.unit_directory }}/{{ item.unit }}": "/run/systemd/system/inferops-green-q.service",
    "/etc/apt/apt.conf.d/90inferops-mirror-proxy": "", "/etc/apt/apt.conf.d/90inferops-proxy": "", "/etc/apt/auth.conf.d/90inferops-mirror-proxy.conf": "",
    "/etc/apt/auth.conf.d/90inferops-proxy.conf": "", "/etc/apt/sources.list.d/inferops-cuda.sources": "", "/etc/inferops-mirror-proxy.env": "",
    "/etc/prometheus/inferops": "", "/etc/prometheus/inferops-packages": "", "{{ __monitoring_collector_settings | dirname }}": "CONFIG/metrics.json",
    "/etc/systemd/system/{{ item }}.service.d/inferops.conf": "/etc/systemd/system/prometheus.service.d/inferops.conf",
    "/etc/systemd/system/inferops-metrics.{{ item }}": "/etc/systemd/system/inferops-metrics.timer",
    "/etc/apt/keyrings/inferops-grafana.asc": "", "/etc/apt/sources.list.d/inferops-grafana.sources": "",
    "/etc/grafana/provisioning/{{ item }}/inferops.yml": "/etc/grafana/provisioning/datasources/inferops.yml",
    "/etc/grafana/inferops.env": "", "/etc/systemd/system/grafana-server.service.d/inferops.conf": "",
    "/etc/inferops-mirror.toml": "", **dict.fromkeys(kernel_files.FILES, ""),
    "/etc/apt/keyrings/inferops-cuda{{ '.gpg' if cuda_apt_key is match('.*\\.gpg$') else '.asc' }}": "/etc/apt/keyrings/inferops-cuda.gpg",
    "/usr/local/share/ca-certificates/{{ item.name }}": "/usr/local/share/ca-certificates/inferops-site.crt",
    "/etc/systemd/system/inferops-release-{{ __vllm_release.name }}.service": "/etc/systemd/system/inferops-release-r1.service",
    "/etc/systemd/system/{{ __weights_item.unit }}": "/etc/systemd/system/inferops-weights-m.service",
    "/etc/systemd/system/inferops-hub-mirror.service": "", "/etc/systemd/system/inferops-share.service": "",
    "/etc/systemd/system/{{ item.unit }}": "/etc/systemd/system/vllm-a.service",
    "CONFIG/netrc": "", "CONFIG/proxy.env": "", "CONFIG/weights.env": "", "{{ __model_service_present | inferops.gpu.unit_environments(__model_service_secrets, multi_node_tokens | default({})) }}": "CONFIG/a.env",
    "CONFIG/adapters/{{ item.name }}.json": "CONFIG/adapters/a.json",
    "CONFIG/tokens/{{ item.name }}": "CONFIG/tokens/a", "{{ item.0.files.folder }}/{{ item.1.name }}": "CONFIG/files/a/0123456789abcdef/chat.jinja",
    "{{ plan_host.paths.library | dirname }}/digest": "INSTALL/lib/0123456789abcdef/__main__.py", "{{ plan_host.paths.library }}": "INSTALL/lib/current",
    "INSTALL/tools/uv": "INSTALL/tools/uv-0.1/bin/uv", "INSTALL/bin/uv": "",
    "MIRROR_INSTALL/tools/olah": "MIRROR_INSTALL/tools/olah-0.5/bin/olah-cli", "MIRROR_INSTALL/bin/olah-cli": "",
    "{{ item.arguments_stamp }}": "STATE/checked/a", "STATE/checked/network-{{ item.name }}": "STATE/checked/network-a",
    "STATE/firewall": "STATE/firewall/before-first-change/user.rules", "STATE/served/{{ item.name }}.json": "STATE/served/a.json",
    "STATE/jobs/{{ __weights_item.unit }}.json": "STATE/jobs/inferops-weights-m.service.json", "STATE/jobs/inferops-share.conf": "",
    "STATE/jobs/release-{{ __vllm_release.name }}.json": "STATE/jobs/release-r1.json",
}
# Paths that the plan gives.
SETTINGS: Any = SimpleNamespace(
    host_config_dir="CONFIG", host_install_dir="INSTALL", vllm_releases_dir="{{ plan_host.paths.releases }}", host_state_dir="STATE",
    host_user="inferops", host_group="inferops", weights_dir="{{ plan_host.paths.models }}", host_cache_dir="{{ host_cache_dir }}",
)
PLANNED = {
    "{{ __kernel_file.path }}": list(kernel_files.FILES),
    "{{ plan_host.directories }}": [item["path"] for item in directories.of_host(SETTINGS)],
}
# Folders, which go when they are empty, or by their owner; what lies in them has rows above. Weights are reported separately.
FOLDERS = {
    "{{ __kernel_folder }}", "{{ __host_netrc | dirname }}", "CONFIG", "INSTALL", "INSTALL/bin", "INSTALL/lib",
    "STATE", *(f"STATE/{name}" for name in ("checked", "jobs", "served", "progress", "verified")), "{{ plan_host.paths.releases }}",
    "{{ plan_host.paths.models }}", "{{ host_cache_dir }}", "{{ weights_mirror_dir }}", "{{ __weights_item.path | dirname }}",
    "{{ __weights_item.path }}.share",
    # Of an existing Prometheus, outside of the host's own folders: -e monitoring_state=absent removes it.
    "{{ monitoring_files_dir }}", "{{ __monitoring_targets }}",
    "{{ __model_service_present | map(attribute='directories') | flatten(levels=1) | unique }}",
}
# What units and other programs on the host write beside.
OTHERS = [
    "STATE/jobs/release-r1.status.json", "STATE/progress/inferops-weights-m.service.json", "STATE/verified/m.json", "INSTALL/python/cpython-3.12-x/bin/python",
    "STATE/firewall/former/policies", "STATE/firewall/lock", "STATE/firewall/return.sh", "STATE/firewall/returned",
    # Of earlier versions.
    "INSTALL/tools/huggingface_hub-1.0/bin/hf",
]
VARIABLES = {
    "host_config_dir": "CONFIG", "plan_host.paths.config": "CONFIG", "host_install_dir": "INSTALL", "plan_host.paths.install": "INSTALL",
    "weights_mirror_install_dir": "MIRROR_INSTALL", "host_state_dir": "STATE", "plan_host.paths.state": "STATE",
}


def tasks(found: Any) -> Iterator[dict[str, Any]]:
    """Tasks of a file, with those in blocks."""
    for task in found or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part))


def resolved(text: str, variables: dict[str, Any]) -> list[str]:
    """A path with what is known put in; several where a variable is a list of directories."""
    if text in PLANNED:
        return PLANNED[text]
    whole = re.fullmatch(r"\{\{ (\w+) \}\}", text)
    if whole and isinstance(variables.get(whole[1]), list):
        return [path for row in variables[whole[1]] for path in resolved(row["path"], variables)]
    new = re.sub(r"\{\{ ([\w.]+) \}\}", lambda match: str(VARIABLES.get(match[1], variables.get(match[1], match[0]))), text)
    return [new] if new == text else resolved(new, variables)


def written() -> set[str]:
    """All paths that tasks of the roles write."""
    found = set()
    quiet = {f"{prefix.replace('builtin', 'ansible.builtin')}.{name}" for prefix, names in READ.items() for name in names.split()}
    for role in sorted(ROLES.iterdir()):
        variables = yaml.safe_load((role / "vars" / "main.yml").read_text()) if (role / "vars" / "main.yml").exists() else {}
        for path in sorted([*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")]):
            for task in tasks(yaml.safe_load(path.read_text())):
                for name in task:
                    if not name.startswith(("ansible.builtin.", "inferops.gpu.")) or name in quiet:
                        continue
                    assert name in PATHS, f"{path.relative_to(ROLES)}: say here what {name} writes on a host"
                    found.update(one for text in PATHS[name](task[name]) for one in resolved(text, variables))
    return found


def test_every_path_of_a_role_has_an_example() -> None:
    paths = written()
    assert paths - set(EXAMPLES) - FOLDERS == set(), "new paths: see that _host_removal takes them away, and give examples of them here"
    assert set(EXAMPLES) - paths == set(), "nothing writes these any more"


def test_paths_that_are_fixed_go() -> None:
    """Which lie in folders of the system's, beside others."""
    fixed = [example or path for path, example in EXAMPLES.items() if (example or path).startswith("/")]
    patterns = [*_host_removal._SYSTEM, *kernel_files.FILES, _host_removal.CERTIFICATES, *(f"/etc/systemd/system/{one}" for one in _host_removal._UNITS)]
    # With the services' units: _host_removal.units.
    patterns.append(f"{_green.DIRECTORY}/{_green.unit_of('*')}")
    assert [path for path in fixed if not any(fnmatch.fnmatch(path, pattern) for pattern in patterns)] == []


def test_what_units_lay_out_for_themselves_goes() -> None:
    """Folders of /run: RuntimeDirectory= and what commands of units make."""
    texts = "\n".join(path.read_text() for path in ROLES.glob("*/templates/*.service.j2"))
    named = {f"/run/{name}" for name in re.findall(r"^RuntimeDirectory=([\w-]+)$", texts, re.M)} | set(re.findall(r"mkdir -p (/[\w/-]+)", texts))
    assert named and named - set(_host_removal._TEMPORARY) == set()
    assert re.findall(r"^(?:State|Cache|Logs|Configuration)Directory=.*$", texts, re.M) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root's")
def test_paths_in_folders_of_the_inventory_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the folders, when nothing else is in them."""
    base = {name: tmp_path / name.lower() for name in ("CONFIG", "INSTALL", "STATE", "MIRROR_INSTALL")}
    for example in [*(example or path for path, example in EXAMPLES.items()), *OTHERS]:
        folder, _slash, rest = example.partition("/")
        if folder not in base:
            continue
        path = base[folder] / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        if rest.startswith("bin/"):
            [tool] = [one for one in EXAMPLES.values() if one.startswith(f"{folder}/tools/") and one.endswith("/" + path.name)]
            path.symlink_to(base[folder] / tool.partition("/")[2])
        else:
            path.write_text(text_of(rest))
    monkeypatch.setattr(_host_removal, "_SYSTEM", ())
    monkeypatch.setattr(_host_removal, "_TEMPORARY", ())
    monkeypatch.setattr(_host_removal, "CERTIFICATES", str(tmp_path / "*.crt"))
    monkeypatch.setattr(kernel_files, "FILES", ())
    places = _host_removal.Places(
        config_dir=str(base["CONFIG"]), install_dir=str(base["INSTALL"]), releases_dir=str(base["INSTALL"] / "releases"), state_dir=str(base["STATE"]),
        cache_dir=str(tmp_path / "cache"), uv_cache_dir=str(tmp_path / "cache" / "uv"), weights_dir=str(base["STATE"] / "models"),
        multi_node_ray_temp_dir=str(tmp_path / "ray"), mirror_dir=str(tmp_path / "mirror"), account="inferops", group="inferops", weights=False,
        mirror_install_dir=str(base["MIRROR_INSTALL"]),
    )
    for path in _host_removal.files(places):
        _host_removal._safe_paths.remove(path)
    assert _host_removal.remove_empty(_host_removal.folders(places)) == [] and list(tmp_path.iterdir()) == []


def text_of(path: str) -> str:
    """What is in a file, as far as it is known by that."""
    if path.startswith(("checked/", "tokens/")):
        return "0123456789abcdef" * 4 + "\n"
    if path.startswith("adapters/"):
        return '{"adapters": {}}'
    if path.endswith(".json"):
        return '{"unit_text": "", "path": "/m", "files": []}'
    if path.startswith("lib/"):
        return _library._PROGRAM
    return f"{_host.UNIT_MARK} (role x).\n"
