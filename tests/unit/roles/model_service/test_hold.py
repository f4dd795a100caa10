# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service on hold, whose units all stay as they are: played with the role's own task and a stand-in for the module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ansible_runs
from stand_ins import collection

SERVICE_STATE = '''
import json, os
from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        (Path(os.environ["STAND_IN"]) / "given").write_text(json.dumps(self._task.args["held"]))
        return {"changed": False, "actions": {}, "restarts": [], "stops": [], "waiting": []}
'''


def service(name: str, *units: str) -> dict[str, Any]:
    """A service with its units and those that they replace, as far as the task reads it."""
    return {
        "name": name, "state": "present", "unit": f"vllm-{name}.service", "units": [], "former_units": [], "node": None,
        "unit_states": [{"unit": f"{unit}-{name}.service"} for unit in units], "adapters": {"file": ""},
    }


def test_all_units_of_a_service_are_on_hold(tmp_path: Path) -> None:
    """Also those that a change of the backend would replace."""
    collections = collection(tmp_path / "collections", {"service_state": SERVICE_STATE})
    services = [service("pair", "ray-worker", "ray-head", "vllm"), service("other", "vllm")]
    tasks = [{"ansible.builtin.include_role": {"name": "inferops.gpu.model_service", "tasks_from": "service"}}]
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    variables = {
        "plan_host": {"services": services}, "model_service_held": ["pair"], "__model_service_environments": [], "__model_service_rewritten": [],
        "__model_service_units": [], "__model_service_adapters": [],
    }
    env = {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1", "STAND_IN": str(tmp_path)}
    done = ansible_runs.playbook("-i", "localhost,", "-c", "local", "-e", json.dumps(variables), str(tmp_path / "play.json"), cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "given").read_text(encoding="utf-8")) == ["ray-worker-pair.service", "ray-head-pair.service", "vllm-pair.service"]
