# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dashboards' JSON is what the code makes, and readable."""

from __future__ import annotations

import json
from typing import Any

import make_dashboards
import monitoring_queries
import pytest

PANELS = list(monitoring_queries.panels())


def test_files_are_current() -> None:
    """`python tests/tools/make_dashboards.py` writes them."""
    assert make_dashboards.stale() == []


def test_uids_and_titles_are_unique() -> None:
    boards = [json.loads(text) for text in make_dashboards.files().values()]
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards) == 7
    for board in boards:
        titles = [(panel["gridPos"]["y"], panel["title"]) for panel in board["panels"]]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{board['uid']}-{panel['title']}" for board, panel in PANELS])
def test_panel_is_readable(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """A description, a unit, a legend for each series, the data source of the variable, and only variables that the dashboard has."""
    assert len(panel["description"]) > 5 and panel["description"].endswith((".", ")"))
    assert panel["fieldConfig"]["defaults"]["unit"]
    known = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        assert target["legendFormat"] or panel["type"] == "table"
        used = set(monitoring_queries.re.findall(r"\$(\w+)", target["expr"]))
        assert used <= known


def test_panels_do_not_overlap() -> None:
    for text in make_dashboards.files().values():
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(text)["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            assert not cells & taken and all(x < 24 for x, _y in cells), panel["title"]
            taken |= cells
