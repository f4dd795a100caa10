# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes C(ansible_collections.inferops.gpu) importable from the checkout, by Ansible's own collection loader."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[2]

# The loader is asked for, rather than sys.path: PyPI's `ansible` package owns the name `ansible_collections` there.
_AnsibleCollectionFinder(paths=[str(ROOT / "collections")])._install()
sys.path.insert(0, str(ROOT / "tests" / "tools"))
# Helpers that several folders use, by their names.
sys.path.insert(0, str(ROOT / "tests" / "unit" / "plugins"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of hypothesis is a generated one. A test that calls hypothesis inside, or another generator, has the marker itself."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("fuzz")


class Mirror:
    """The lab's mirror on a port of this machine, over a folder of models."""

    def __init__(self, models: Path) -> None:
        sys.path.append(str(ROOT / "lab" / "mirror"))
        self.server = importlib.import_module("hub_mirror").serve(models, models, "127.0.0.1", 0, None)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def behave(self, **settings: Any) -> None:
        self.server.RequestHandlerClass.mood.update(settings)

    def files(self) -> dict[str, dict[str, int]]:
        """Requests, tokens and bytes by path."""
        rows = self.server.RequestHandlerClass.stats.as_dict()["files"]
        return {name.partition("/")[2].partition("/")[2]: row for name, row in rows.items()}

    @property
    def sent(self) -> int:
        return sum(row["bytes"] for row in self.files().values())


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[tuple[Mirror, Mirror]]:
    (tmp_path / "models").mkdir()
    made = (Mirror(tmp_path / "models"), Mirror(tmp_path / "models"))
    yield made
    for mirror in made:
        mirror.server.shutdown()
        mirror.server.server_close()
