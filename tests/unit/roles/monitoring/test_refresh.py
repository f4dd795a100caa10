# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The refresh at the end of site.yml, on a host with services: with the variables of the monitoring host, and only where monitoring is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
PLAY = """
- hosts: gpu1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: inferops.gpu.monitoring, tasks_from: refresh, rolespec_validate: false}
"""


def refreshed(base: Path, monitor: dict[str, Any], own: dict[str, Any]) -> str:
    """Run the refresh on two names of this machine, and return what ansible-playbook said."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    plan = {
        "host": "mon1", "source": "", "services": [], "collector": {},
        "targets": [
            {"job": "vllm", "address": "10.0.0.1:8000", "scheme": "http", "server_name": "",
             "labels": {"cluster": "c", "host": "gpu1", "service": "a", "model": "m", "release": "r2", "task": "generate"}},
        ],
    }
    gpu = {
        **local, **own, "monitoring_host": "mon1", "host_config_dir": str(base / "etc"), "plan_host": {"monitoring": plan},
        "monitoring_plan": {"hosts": {"gpu1": {"monitoring": plan}}},
    }
    (base / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"gpu1": gpu, "mon1": {**local, **monitor}}}}), encoding="utf-8")
    (base / "play.yml").write_text(PLAY, encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(base / "hosts.yml"), str(base / "play.yml")], cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_monitoring_hosts_own_variables(tmp_path: Path) -> None:
    """In its host_vars: a host with services does not have them."""
    (tmp_path / "files" / "targets").mkdir(parents=True)
    (tmp_path / "files" / ".inferops-monitoring").touch()
    said = refreshed(tmp_path, {"monitoring_files_dir": str(tmp_path / "files"), "monitoring_probe": False}, {})
    targets, probes = (json.loads((tmp_path / "files" / "targets" / f"{name}.json").read_text(encoding="utf-8")) for name in ("vllm", "inferops-probe"))
    assert len(targets) == 1 and probes == [], said
    assert "not updated" not in said


@pytest.mark.parametrize("configured", [True, False])
def test_a_host_that_was_never_configured(tmp_path: Path, configured: bool) -> None:
    """It gets no settings of the collector, and the run says that Prometheus has no targets."""
    settings = tmp_path / "etc" / "metrics.json"
    settings.parent.mkdir()
    if configured:
        settings.write_text("{}", encoding="utf-8")
    said = refreshed(tmp_path, {"monitoring_files_dir": str(tmp_path / "none")}, {"monitoring_files_dir": str(tmp_path)})
    assert settings.exists() == configured and (not configured or "textfile_dir" in settings.read_text(encoding="utf-8"))
    assert f"on mon1 were not updated: it has no {tmp_path}/none/targets" in said
