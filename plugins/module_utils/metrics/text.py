# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples in the text format of Prometheus.

The format: prometheus/docs, C(docs/instrumenting/exposition_formats.md). Node exporter refuses a whole file for one invalid line, a duplicate series, or
one name with two types (prometheus/node_exporter, C(collector/textfile.go)), so nothing that a host reads may lead to one.
"""

from __future__ import annotations

import math
import typing as t

from .._status import texts
from .families import FAMILIES

# A sample: name, labels, value. As a list in JSON.
Sample = t.Tuple[str, t.Dict[str, str], float]
# Series of one name, so that a host with endless files fills no Prometheus.
MOST = 2000
_LONGEST = 200


def render(samples: t.Iterable[t.Sequence[t.Any]]) -> str:
    """Return the text of samples. Unknown names, values that are no number, and further samples of the same series are left out."""
    series: dict[str, dict[str, str]] = {name: {} for name in FAMILIES}
    for name, labels, value in samples:
        found = series.get(name)
        text = _number(value)
        if found is not None and text and len(found) < MOST:
            found.setdefault(_labels(labels), text)
    lines = []
    for name, family in FAMILIES.items():
        if series[name]:
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
            lines += [f"{name}{labels} {text}" for labels, text in series[name].items()]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: t.Mapping[str, t.Any]) -> str:
    """Labels with their values: on one line, printable, and escaped."""
    pairs = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    # A lone surrogate (of a file's name) is no UTF-8, and not printable either.
    return texts.one_line(value, _LONGEST).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: t.Any) -> str:
    """A finite number; empty for anything else."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) else repr(float(value))
