# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between a report and the present state."""

from __future__ import annotations

import copy

from collections.abc import Callable
from typing import Any

import pytest
import report_builders as builders

from ansible_collections.inferops.gpu.plugins.plugin_utils.run_report import compare

UNIT = "vllm-qwen3-235b.service"
FILE = f"/etc/systemd/system/{UNIT}"


def compared(change: Callable[[dict[str, Any]], Any], then: dict[str, Any] | None = None) -> compare.Compared:
    """The host of a report with what is deployed now, after a change."""
    report = builders.report(builders.host(deployed=then or builders.deployed()))
    now = copy.deepcopy(builders.deployed())
    change(now)
    return compare.compare("gpu1", "/r/latest.json", report["run"], report["hosts"]["gpu1"], now)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda now: now["state"]["units"].update({UNIT: "inactive, enabled"}), f"unit {UNIT}: active, enabled → inactive, enabled"),
        (lambda now: now["state"]["units"].clear(), f"unit {UNIT}: active, enabled → absent"),
        (
            lambda now: now["state"]["unit_files"].update({FILE: f"sha256 {'e' * 64}, root:root 0644"}),
            f"file {FILE}: sha256 aaaaaaaaaaaa, root:root 0644 → sha256 eeeeeeeeeeee, root:root 0644",
        ),
        (
            lambda now: now["state"]["unit_files"].update({f"{FILE}.d/override.conf": "sha256 x, root:root 0644"}),
            f"file {FILE}.d/override.conf: absent → sha256 x, root:root 0644",
        ),
        (lambda now: now["state"]["sysctl"].update({"net.core.somaxconn": "128"}), "kernel parameter net.core.somaxconn: 65535 → 128"),
        (lambda now: now["state"]["firewall"].update(UFW="disabled"), "firewall, UFW: enabled → disabled"),
        (
            lambda now: now["state"]["firewall_rules"].update({"allow tcp 8001 from 0.0.0.0/0": "no comment"}),
            "firewall rule allow tcp 8001 from 0.0.0.0/0: absent → no comment",
        ),
        (lambda now: now["state"]["ports"].clear(), f"port tcp 0.0.0.0:8001: {UNIT} → absent"),
        (lambda now: now["state"]["system"].update(kernel="6.1.0-41-amd64"), "kernel: 6.1.0-40-amd64 → 6.1.0-41-amd64"),
        (lambda now: now["state"]["gpus"].pop("GPU 3"), "GPU 3: NVIDIA H100 80GB HBM3, GPU-3 → absent"),
    ],
)
def test_a_difference(change: Callable[[dict[str, Any]], Any], line: str) -> None:
    found = compared(change)
    assert compare.lines([found]) == [f"gpu1: {line}"] and found.unread == ()


def test_nothing_differs() -> None:
    found = compared(lambda now: None)
    assert compare.lines([found]) == ["gpu1: nothing differs since 2026-11-26T23:41:57Z"]
    assert found.to_dict() == {"report": "/r/latest.json", "since": "2026-11-26T23:41:57Z", "result": "succeeded", "differences": [], "unread": {}}


def test_what_was_not_read_is_no_difference_and_is_said() -> None:
    """Now, in the report, and of the whole host."""

    def silent(now: dict[str, Any]) -> None:
        del now["state"]["units"]
        now["unread"] = {"units": "systemctl show did not answer"}

    assert compare.lines([compared(silent)]) == ["gpu1: units: not read now: systemctl show did not answer"]
    then = builders.deployed(unread={"firewall": "iptables-save did not answer"})
    del then["state"]["firewall"], then["state"]["firewall_rules"]
    assert compare.lines([compared(lambda now: None, then)]) == ["gpu1: firewall: not read in the report: iptables-save did not answer"]

    def gone(now: dict[str, Any]) -> None:
        now.clear()
        now["unread"] = {"state": "the host could not be read"}

    assert compare.lines([compared(gone)]) == ["gpu1: state: not read now: the host could not be read"]


def test_a_part_that_only_one_side_has_is_said() -> None:
    """A report of an earlier version has fewer parts."""
    then = builders.deployed()
    del then["state"]["gpus"]
    assert compare.lines([compared(lambda now: None, then)]) == ["gpu1: gpus: not read in the report"]


def test_hosts_without_a_difference_share_a_line() -> None:
    found = [compare.Compared(f"gpu{number}", "r", "T", "succeeded", (), ()) for number in range(1, 8)]
    assert compare.lines(found) == ["gpu1, gpu2, gpu3, gpu4, gpu5 and 2 more hosts: nothing differs since T"]


def test_garbage_in_a_report() -> None:
    """Anything but dictionaries of texts counts as not read; control characters of the host do not reach the terminal."""
    now = builders.deployed()
    now["state"]["units"]["vllm-\x1b[2J.service"] = "active"
    found = compare.compare("gpu1", "r", {}, {"state": {"units": 7, "system": {"OS": 3}}, "unread": []}, now)
    assert "\x1b" not in "".join(compare.lines([found]))
    assert ("units", "not read in the report") in found.unread and compare.Difference("system", "OS", "3", "debian 12") in found.differences
