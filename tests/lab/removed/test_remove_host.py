# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/remove_host.yml, last of all: the host is as it was, but for what is not ours and for what the playbook says."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from lab import ENVIRONMENT, ROOT, Play, Scenario
from testinfra.host import Host

# All that bears our name or mark, wherever it is; the lab's own machines have none of it.
SCAN = (
    "find /etc /opt /usr/local /var/lib /var/cache /run /dev/shm -xdev -iname '*inferops*' -not -path '/etc/.git/*' 2>/dev/null; "
    "grep -rl 'Managed by inferops.gpu' /etc 2>/dev/null; getent passwd; getent group; "
    "systemctl list-unit-files --no-legend --plain 'vllm-*' 'ray-*' 'inferops-*'; ufw status 2>/dev/null | grep inferops"
)
# What is not ours, though it looks like it.
UNMANAGED = ["/etc/systemd/system/vllm-mine.service", "/etc/inferops/mine.env", "/opt/inferops/lib/mine.py", "/var/cache/inferops/mine/file"]


def removed(scenario: Scenario, *arguments: str) -> Play:
    """Runs the playbook."""
    command = replace(scenario, playbook="playbooks/remove_host.yml").command(*arguments)
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, text=True, timeout=600, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return Play(done.returncode, done.stdout, 0.0)


def ours(host: Host) -> list[str]:
    """Lines of the scan that are about us, unmanaged ones left out."""
    lines = host.run(SCAN).stdout.splitlines()
    known = {"/etc/inferops", "/opt/inferops", "/var/cache/inferops", *UNMANAGED}
    return [line for line in lines if ("inferops" in line or "vllm" in line) and line.split()[0] not in {*known, "vllm-mine.service"}]


def test_a_host_is_taken_out_of_service(scenario: Scenario, host: Host) -> None:
    """First said, then done, then nothing is left to do. What is somebody else's stands there as before."""
    for path in UNMANAGED:
        host.run_expect([0], "mkdir -p $(dirname %s) && echo '# mine' > %s", path, path)
    before = ours(host)
    assert any("inferops-qwen3-235b" in line for line in before) and any("vllm-qwen3-235b" in line for line in before), before
    checked = removed(scenario, "--check", "-e", "remove_weights=true")
    assert checked.status == 0 and "unit vllm-qwen3-235b.service" in checked.output, checked.output
    assert ours(host) == before
    done = removed(scenario, "-e", "remove_weights=true")
    assert done.status == 0, done.output
    assert ours(host) == [], done.output
    assert [path for path in UNMANAGED if not host.file(path).exists] == []
    # UFW was off before.
    assert "Status: inactive" in host.run("ufw status").stdout
    # In brackets, since the shell that looks has the words in its own command line.
    assert host.run("pgrep --full --list-full '[v]llm'").stdout == ""
    again = removed(scenario, "-e", "remove_weights=true")
    assert [counts["changed"] for counts in again.recap.values()] == [0] * len(again.recap), again.output
    assert all(path in again.output for path in UNMANAGED if path.startswith(("/etc/inferops", "/opt"))), again.output
