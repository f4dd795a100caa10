#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draws dashboards as pictures for docs/dashboards.md, from the same queries, with the data of a Prometheus.

    <an environment with matplotlib and PyYAML>/bin/python tests/tools/dashboard_pictures.py http://127.0.0.1:9090 MINUTES OUT [UID...]

Each becomes OUT/<uid>.png: graphs over the last MINUTES as lines, single values as bars. Panels without data and tables are left out.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib
from monitoring_queries import DASHBOARDS, replaced

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

COLUMNS = 3
MOST_LINES = 8
POINTS = 180


def ask(url: str, path: str, **values: Any) -> list[dict[str, Any]]:
    """The result of a query of Prometheus."""
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(values)}", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def legend(form: str, labels: dict[str, str]) -> str:
    """Grafana's legend of a series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form).strip()


def shown(value: float, unit: str) -> str:
    """A value as Grafana writes it, roughly."""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit in ("bytes", "Bps"):
        for prefix in ("", "Ki", "Mi", "Gi", "Ti"):
            if abs(value) < 1024:
                break
            value /= 1024
        return f"{value:.3g} {prefix}B" + ("/s" if unit == "Bps" else "")
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g}" + {"s": " s", "celsius": " °C", "watt": " W", "reqps": "/s", "pps": "/s"}.get(unit, "")


def draw(axes: Axes, panel: dict[str, Any], url: str, minutes: int) -> bool:
    """One panel; false if it has no data."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    end = time.time()
    lines: list[tuple[str, list[float], list[float]]] = []
    for target in panel["targets"]:
        step = max(15, minutes * 60 // POINTS)
        for item in ask(url, "query_range", query=replaced(target["expr"]), start=end - minutes * 60, end=end, step=step):
            points = [(float(at), float(value)) for at, value in item["values"] if not math.isnan(float(value))]
            if points:
                lines.append((legend(target["legendFormat"], item["metric"]), [(at - end) / 60 for at, _value in points], [value for _at, value in points]))
    if not lines:
        return False
    if panel["type"] == "timeseries":
        stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal" and len({tuple(line[1]) for line in lines}) == 1
        if stacked:
            axes.stackplot(lines[0][1], [line[2] for line in lines], labels=[line[0] for line in lines], alpha=0.7)
        else:
            for name, ats, values in lines[:MOST_LINES]:
                axes.plot(ats, values, label=name, linewidth=1)
        top = max(max(line[2]) for line in lines)
        for step_ in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
            if step_["value"] <= 1.3 * top:
                axes.axhline(step_["value"], color=step_["color"], linewidth=0.8, linestyle="--")
        # Room for the legend.
        axes.set_ylim(0, 1.35 * sum(max(line[2]) for line in lines) if stacked else 1.35 * top or 1)
        axes.legend(fontsize=6, loc="upper left", framealpha=0.6)
        axes.grid(alpha=0.25)
    else:
        axes.barh([line[0] for line in lines[:MOST_LINES]], [line[2][-1] for line in lines[:MOST_LINES]], height=0.5)
        for row, line in enumerate(lines[:MOST_LINES]):
            axes.text(0, row, f" {shown(line[2][-1], unit)}", va="center", fontsize=8)
        axes.set_xticks([])
        axes.set_ylim(-1, max(1, len(lines[:MOST_LINES])))
    target_axis = axes.yaxis if panel["type"] == "timeseries" else axes.xaxis
    target_axis.set_major_formatter(FuncFormatter(lambda value, _place: shown(value, unit)))
    axes.set_title(panel["title"], fontsize=8, loc="left", fontweight="bold")
    axes.tick_params(labelsize=6)
    return True


def picture(url: str, minutes: int, out: Path, path: Path) -> None:
    """One dashboard."""
    board = json.loads(path.read_text(encoding="utf-8"))
    panels = [panel for panel in board["panels"] if panel["type"] not in ("row", "table") and panel["fieldConfig"]["defaults"]["unit"] != "dateTimeFromNow"]
    figure = pyplot.figure(figsize=(11, 2.3 * math.ceil(len(panels) / COLUMNS)), dpi=74)
    number = 1
    for panel in panels:
        axes = figure.add_subplot(math.ceil(len(panels) / COLUMNS), COLUMNS, number)
        if draw(axes, panel, url, minutes):
            number += 1
        else:
            axes.remove()
    figure.suptitle(f"{board['title']} (minutes before now)", fontsize=9)
    figure.tight_layout()
    figure.savefig(out / f"{path.stem}.png")
    pyplot.close(figure)


def main(url: str, minutes: str, out: str, *uids: str) -> int:
    """Draw the named dashboards, or all."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        if not uids or path.stem in uids:
            picture(url, int(minutes), Path(out), path)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
