# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Panels and dashboards as Grafana reads them (10 and later; schemaVersion 39 is that of 10.4).

Plain Python instead of grafana-foundation-sdk: five kinds of panels need no dependency that is released with every version of Grafana.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, WARN, BAD = "green", "orange", "red"
# Selectors of the variables.
SERVICE = 'cluster=~"$cluster",service=~"$service",host=~"$host"'
HOST = 'cluster=~"$cluster",host=~"$host"'
# Label -> metric whose values the variable lists.
VARIABLES = {
    "cluster": 'label_values(up{job="inferops-node"}, cluster)',
    "service": 'label_values(inferops_service_info{cluster=~"$cluster"}, service)',
    "host": 'label_values(up{job="inferops-node",cluster=~"$cluster"}, host)',
}


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel: C(queries) are pairs of an expression and a legend, C(steps) pairs of a value and the colour from there on, C(unit) is Grafana's name."""

    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float, str]] = ()
    most: float | None = None
    stacked: bool = False
    mappings: Sequence[tuple[float, str, str]] = ()
    # Of a table: labels that are no column.
    hidden: Sequence[str] = ()

    def to_dict(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at a place of the grid."""
        instant = self.kind in ("stat", "table", "bargauge")
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "min": 0,
            "color": {"mode": "thresholds" if self.kind != "timeseries" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": [{"color": GOOD, "value": None}, *({"color": color, "value": value} for value, color in self.steps)]},
            "mappings": [{"type": "value", "options": {f"{value:g}": {"text": text, "color": color}}} for value, text, color in self.mappings],
        }
        if self.most is not None:
            defaults["max"] = self.most
        options: dict[str, Any] = {}
        if self.kind == "timeseries":
            defaults["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 30 if self.stacked else 8,
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "line+area" if self.steps else "off"},
            }
            options = {
                "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        elif self.kind == "stat":
            options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background", "textMode": "value_and_name"}
        elif self.kind == "bargauge":
            options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "displayMode": "basic", "orientation": "horizontal"}
        elif self.kind == "table":
            options = {"showHeader": True, "cellHeight": "sm"}
        found: dict[str, Any] = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": SOURCE,
                    "expr": expression,
                    "legendFormat": legend,
                    "instant": instant,
                    "range": not instant,
                    **({"format": "table"} if self.kind == "table" else {}),
                }
                for index, (expression, legend) in enumerate(self.queries)
            ],
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
        }
        if self.kind == "table":
            excluded = {"Time": True, "__name__": True, "job": True, "instance": True, **{label: True for label in self.hidden}}
            found["transformations"] = [{"id": "organize", "options": {"excludeByName": excluded, "indexByName": {}, "renameByName": {}}}]
        return found


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """Rows of panels with a heading each; C(uid) is also the name of the file."""

    uid: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[str] = ("cluster", "service", "host")

    def to_dict(self) -> dict[str, Any]:
        """Grafana's JSON."""
        panels: list[dict[str, Any]] = []
        y = 0
        for heading, row in self.rows:
            panels.append(
                {"id": len(panels) + 1, "type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
            )
            y += 1
            x = tallest = 0
            for panel in row:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                panels.append(panel.to_dict(len(panels) + 1, x, y))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["inferops"],
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "graphTooltip": 1,
            "links": [{"type": "dashboards", "tags": ["inferops"], "title": "inferops", "asDropdown": True, "includeVars": True, "keepTime": True}],
            "templating": {"list": [_source(), *(_variable(name) for name in self.variables)]},
            "annotations": {
                "list": [
                    {
                        "name": "Alerts",
                        "enable": True,
                        "iconColor": "red",
                        "datasource": SOURCE,
                        "titleFormat": "{{alertname}}",
                        "textFormat": "{{host}} {{service}}",
                        "expr": 'ALERTS{alertname=~"Inferops.*",alertstate="firing",severity="critical"}',
                        "step": "60s",
                    }
                ]
            },
            "panels": panels,
        }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source", "current": {}, "hide": 0}


def _variable(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": SOURCE,
        "query": {"query": VARIABLES[name], "refId": name},
        "definition": VARIABLES[name],
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
