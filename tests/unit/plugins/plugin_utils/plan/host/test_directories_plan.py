# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which directories a run has to make or mend."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.host import directories
from plan_builders import host_facts, service

ITEMS = [{"path": "/a"}, {"path": "/b", "owner": "x", "group": "y", "mode": "0750"}]


def test_only_what_differs() -> None:
    def there(**found: str) -> Any:
        return SimpleNamespace(directories={f"/{name}": said for name, said in found.items()})

    assert directories.to_mend(ITEMS, None) == ITEMS and directories.to_mend(ITEMS, there()) == ITEMS
    assert directories.to_mend(ITEMS, there(a="root:root 0755", b="x:y 0750")) == []
    assert directories.to_mend(ITEMS, there(a="root:root 0777", b="x:y 0750")) == ITEMS[:1]
    assert directories.to_mend(ITEMS, there(a="root:root 0755", b="x:root 0750")) == ITEMS[1:]


def test_a_host_that_has_all_of_them(plan: Any) -> None:
    """What the first plan asks for, reported as the facts report it, is asked for no more: of the host and of each service."""
    first = plan(service(), facts=host_facts()).hosts["gpu1"]
    wanted = [*first["directories"], *first["services"][0]["directories"]]
    there = {item["path"]: f"{item.get('owner', 'root')}:{item.get('group', 'root')} {item.get('mode', '0755')}" for item in wanted}
    second = plan(service(), facts=host_facts(directories=there)).hosts["gpu1"]
    assert len(wanted) > 10 and second["directories"] == [] and second["services"][0]["directories"] == []
