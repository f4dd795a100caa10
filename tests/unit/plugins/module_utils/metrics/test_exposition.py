# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collector's text: one bad value must not cost the whole file, which node exporter would refuse."""

from __future__ import annotations

import math
import re
import shutil
import subprocess

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.metrics import families, text

STATE = "inferops_service_state"
HOSTILE = ['a"b', "a\\", "a\nb", "a\\n", 'x",y="1"} 1\nevil 1', "\x1b[31m", "\udcffx", "é", "", "a" * 5000, "{}", "# HELP x"]


def test_labels_of_any_text() -> None:
    """Nothing in a name ends the label or the line."""
    rendered = text.render([(STATE, {"service": name, "unit": "u"}, 1) for name in HOSTILE])
    lines = rendered.splitlines()
    assert lines[:2] == [f"# HELP {STATE} {families.FAMILIES[STATE].help}", f"# TYPE {STATE} gauge"]
    assert all(re.fullmatch(STATE + r'\{service="(?:[^"\\]|\\\\|\\"|\\n)*",unit="u"\} 1', line) for line in lines[2:])
    assert len(lines) - 2 == len(HOSTILE)
    assert rendered.encode("utf-8") and max(map(len, lines)) < 400


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_reads_it() -> None:
    rendered = text.render([(name, {"service": label, "unit": "u"}, 1.5) for name in families.FAMILIES for label in HOSTILE])
    done = subprocess.run(["promtool", "check", "metrics"], input=rendered, capture_output=True, text=True, check=False)
    # Status 3 is for advice about names, for example that a gauge does not end in _total.
    assert "error while linting" not in done.stderr and "parsing" not in done.stderr, done.stderr
    assert done.returncode in (0, 3)


def test_a_series_stands_once() -> None:
    """A second sample of a series, an unknown name and what is no number are left out."""
    samples = [
        (STATE, {"a": "1"}, 1), (STATE, {"a": "1"}, 0), ("unknown", {}, 1), (STATE, {"a": "nan"}, math.nan), (STATE, {"a": "inf"}, math.inf),
        (STATE, {"a": "text"}, "7"), (STATE, {"a": "none"}, None), (STATE, {"a": "true"}, True), (STATE, {"a": "half"}, 0.5),
    ]
    assert text.render(samples).splitlines()[2:] == [f'{STATE}{{a="1"}} 1', f'{STATE}{{a="true"}} 1', f'{STATE}{{a="half"}} 0.5']


def test_endless_series_are_bounded() -> None:
    assert len(text.render([(STATE, {"a": str(number)}, 1) for number in range(3 * text.MOST)]).splitlines()) == text.MOST + 2


def test_names_are_those_of_prometheus() -> None:
    """Counters, and only they, end in _total; but bytes in total are a gauge."""
    for name, family in families.FAMILIES.items():
        assert re.fullmatch(r"inferops_[a-z_]+", name) and "\n" not in family.help and family.help.endswith(".")
        assert (family.kind == families.COUNTER) == name.endswith("_total"), name
