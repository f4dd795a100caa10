# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's prepared machines have what the role host installs."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def test_prepared_machines_have_the_roles_packages() -> None:
    """Otherwise a run would install on each of them what the image was to save."""
    prepared = set((ROOT / "lab" / "image" / "prepared.txt").read_text(encoding="utf-8").split())
    wanted = yaml.safe_load((ROOT / "roles" / "host" / "defaults" / "main.yml").read_text(encoding="utf-8"))["host_packages"]
    # The plan adds the others: plugins/plugin_utils/plan/host/packages.py.
    assert {*wanted, "ufw", "conntrack"} <= prepared
