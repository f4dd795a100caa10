# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The XID table: whole, and the same in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import verdict, xid_catalogue

ROOT = Path(__file__).resolve().parents[5]
PAGE = (ROOT / "docs" / "gpu-health.md").read_text(encoding="utf-8")
# What NVIDIA's catalogue says of the most frequent ones.
KNOWN = {
    13: "restart_service", 31: "restart_service", 43: "none", 45: "none", 48: "reset_gpu", 62: "reset_gpu", 63: "none", 64: "reset_gpu", 74: "investigate",
    79: "reboot", 94: "restart_service", 95: "reset_gpu", 119: "reset_gpu", 120: "reset_gpu", 140: "reset_gpu", 143: "reset_gpu", 154: "none", 158: "reset_gpu",
}


def test_codes_are_unique_and_actions_known() -> None:
    rows = xid_catalogue._ROWS
    assert len(rows) == len(xid_catalogue.XIDS) > 100 and [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert {row[3] for row in rows} <= set(xid_catalogue.ACTIONS)


def test_frequent_ones() -> None:
    assert {code: xid_catalogue.find(code).action for code in KNOWN} == KNOWN


def test_an_unknown_code_has_to_be_investigated() -> None:
    assert xid_catalogue.find(4711).action == "investigate" and not xid_catalogue.forbids_use(xid_catalogue.find(4711))


def test_the_documentation_has_the_same_table() -> None:
    """Each code is in the row of its action, and in no other."""
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE))
    written = {
        action: sorted(map(int, re.findall(r"\d+", codes)))
        for action, codes in rows.items() if action in xid_catalogue.ACTIONS and re.match(r"\d", codes)
    }
    expected: dict[str, list[int]] = {}
    for xid in xid_catalogue.XIDS.values():
        expected.setdefault(xid.action, []).append(xid.code)
    assert written == expected


def test_the_documentation_names_every_finding() -> None:
    assert set(verdict.NAMES) <= set(re.findall(r"`([a-z-]+)`", PAGE))
