# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/weights.yml: the weights of a model that is to come, while another one serves."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

from lab import ENVIRONMENT, ROOT, Play, Scenario

# One that the service does not serve, said as a form would.
OTHER = {"plan_service_model": "glm-4.7-flash"}


def weights_only(scenario: Scenario, *arguments: str) -> Play:
    """Runs the playbook."""
    command = replace(scenario, playbook="playbooks/weights.yml").command(*arguments, variables=OTHER)
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return Play(done.returncode, done.stdout, 0.0)


def test_weights_and_nothing_else(scenario: Scenario, unit: Any) -> None:
    """They are there, whole, and the service has not noticed; the check before and the run after change nothing."""
    manifests = "ls /var/lib/inferops/models/zai-org--GLM-4.7-Flash/*.manifest.json"
    unit.host.run("rm -rf /var/lib/inferops/models/zai-org--GLM-4.7-Flash")
    before = unit.main_pid, unit.show("InvocationID"), unit.host.check_output("sha256sum /etc/systemd/system/%s", unit.name)
    checked = weights_only(scenario, "--check")
    assert checked.status == 0 and unit.host.run(manifests).rc != 0, checked.output
    done = weights_only(scenario)
    assert done.status == 0, done.output
    assert "uses the inventory again" in done.output
    assert unit.host.run(manifests).rc == 0
    again = weights_only(scenario)
    assert [counts["changed"] for counts in again.recap.values()] == [0] * len(again.recap), again.output
    assert (unit.main_pid, unit.show("InvocationID"), unit.host.check_output("sha256sum /etc/systemd/system/%s", unit.name)) == before
