# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The digest by which a unit is left alone is that of the file that the template module writes."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_runs import playbook

ROOT = Path(__file__).resolve().parents[4]
TEMPLATES = ROOT / "roles" / "model_service" / "templates"
PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    __model_service_unit_directory: /etc/systemd/system
    template: {template}
    item:
      local_url: http://127.0.0.1:8001
      engine: vllm
      served_model_name: m
      repo: a/b
      cache: /c
      environment: {{A: "1 2"}}
      environment_file: /e
      before_start: [[a, b]]
      words: [vllm, serve, "x y"]
      timeouts: {{start: 9, stop: 9}}
      tls: null
      node: null
      supervised: {{drain: [], undrain: [], what: the engine, runtime: r, writable: [/c], own_folders: [own], shared_memory: ""}}
      unit: vllm-m.service
      account: {{user: u, group: g}}
    plan_host: {{account: {{group: g}}}}
  tasks:
    - ansible.builtin.template: {{src: "{{{{ template }}}}", dest: {folder}/unit, mode: "0644"}}
    - ansible.builtin.copy: {{content: "{{{{ lookup('ansible.builtin.template', template) | hash('sha256') }}}}", dest: {folder}/digest, mode: "0600"}}
"""


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY.format(template=TEMPLATES / "service.j2", folder=tmp_path))
    inventory = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}"
    (tmp_path / "hosts").write_text(inventory + "\n")
    done = playbook("-i", "hosts", "play.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    unit = tmp_path / "unit"
    found = _host.file_digest(str(unit))
    assert len(found) == 64 and found == (tmp_path / "digest").read_text()
    for change in (lambda: unit.chmod(0o664), lambda: (unit.unlink(), unit.symlink_to(tmp_path / "digest"))):
        change()
        assert _host.file_digest(str(unit)) == ""
    assert _host.file_digest(str(tmp_path / "gone")) == ""
