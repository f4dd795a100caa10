# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A configuration that is refused changes nothing; an administrator's Prometheus is left alone; and a removal leaves nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from lab import ENVIRONMENT, ROOT, Play, Scenario, Unit
from testinfra.host import Host

OURS = "/etc/prometheus/inferops"
FILES = "/srv/monitoring/inferops"


def test_a_rule_that_is_refused(monitor: Host, scenario: Scenario) -> None:
    """The old files go on serving. The module is called as the role calls it, with a rule that Prometheus refuses."""
    before = monitor.check_output("sha256sum %s/prometheus.yml %s/rules/*.yml", OURS, OURS)
    reloaded = Unit(monitor, "prometheus.service").main_pid
    arguments = (
        f'{{"path": "{OURS}", "prune": false, "files": {{"rules/bad.yml": "groups: [{{name: a, rules: [{{alert: B, expr: up ==}}]}}]"}}, '
        '"validate": [["promtool", "check", "rules", "{folder}/rules/bad.yml"]]}'
    )
    done = subprocess.run(
        ["ansible", *scenario.inventory_arguments(), "lab-mon", "--become", "-m", "inferops.gpu.managed_tree", "-a", arguments],
        cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    assert done.returncode != 0 and "nothing was changed" in done.stdout and "parse error" in done.stdout, done.stdout
    assert monitor.check_output("sha256sum %s/prometheus.yml %s/rules/*.yml", OURS, OURS) == before
    assert Unit(monitor, "prometheus.service").main_pid == reloaded


def test_an_administrators_prometheus(play: Callable[..., Play], monitor: Host) -> None:
    """It is refused by name, and gets files when a directory is named."""
    monitor.run_expect([0], "cp /etc/prometheus/prometheus.yml /run/former.yml && echo '# mine' >> /etc/prometheus/prometheus.yml")
    try:
        found = play()
        assert found.status != 0 and "/etc/prometheus/prometheus.yml: the Prometheus of this host was configured by somebody else." in found.said
        assert "Fix: set monitoring_files_dir" in found.said
        found = play(variables={"monitoring_files_dir": FILES})
        assert found.status == 0, found.output
        assert monitor.file("/etc/prometheus/prometheus.yml").contains("# mine")
        written = set(monitor.check_output("find %s -type f -printf '%%P\\n'", FILES).split())
        assert {"scrape_configs.yml", "targets/vllm.json", "targets/inferops-node.json", "rules/inferops-services.yml"} <= written
        assert not {"prometheus.yml", "alertmanager.yml"} & written
        # The role's own Prometheus of before is the administrator's now, and the other programs stop.
        assert not monitor.file(OURS).exists and Unit(monitor, "prometheus.service").show("ActiveState") == "active"
        assert Unit(monitor, "prometheus-alertmanager.service").show("ActiveState") == "inactive"
        monitor.run_expect([0], "promtool check config %s/scrape_configs.yml", FILES)
        assert not any(counts["changed"] for counts in play(variables={"monitoring_files_dir": FILES}).recap.values())
    finally:
        monitor.run("cp /run/former.yml /etc/prometheus/prometheus.yml; rm -rf /srv/monitoring")
    found = play()
    assert found.status == 0 and monitor.file(f"{OURS}/prometheus.yml").exists, found.output


def test_removal(play: Callable[..., Play], monitor: Host, host: Host) -> None:
    """Packages that the role has installed go as well on request. A second removal changes nothing, and the service goes on."""
    gone = {"monitoring_state": "absent", "monitoring_remove_packages": True}
    checked = play("--check", variables=gone)
    assert checked.status == 0 and monitor.file(f"{OURS}/prometheus.yml").exists, checked.output
    found = play(variables=gone)
    assert found.status == 0, found.output
    for machine in (monitor, host):
        left = machine.check_output(
            "find /etc /var/lib /run /srv -xdev \\( -name '*inferops-metrics*' -o -name 'inferops.conf' -path '*prometheus*' -o -path '*prometheus/inferops*' "
            "-o -name inferops.prom -o -name metrics.json \\) -not -path '/run/lab*' -print",
        )
        assert not left, left
        assert not machine.run("dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\\n' 'prometheus*' | grep ^ii").stdout
    assert "9100" not in host.check_output("ufw status")
    assert Unit(host, "vllm-small.service").show("ActiveState") == "active"
    bare = play("--check")
    assert bare.status == 0 and bare.recap["lab-mon"]["changed"] >= 3, bare.output
    again = play(variables=gone)
    assert again.status == 0 and not any(counts["changed"] for counts in again.recap.values()), again.output
