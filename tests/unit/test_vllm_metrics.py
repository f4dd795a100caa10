# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The metrics of a vLLM, read from its source, and the table of all versions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import vllm_metrics

# What an H100 with vLLM 0.26.0 served.
SEEN = vllm_metrics.TABLE.parent / "vllm_0.26.0_h100.txt"
LOGGERS = '''
NAME = "vllm:named_elsewhere"
class PrometheusStatLogger:
    def __init__(self, config):
        labelnames = ["model_name", "engine"]
        self.running = self._gauge_cls(name="vllm:running", documentation="", labelnames=labelnames)
        self.finished = self._counter_cls(name="vllm:finished", labelnames=labelnames + ["reason"])
        self.known = prometheus_client.Counter(NAME, "", labelnames=labelnames)
        if self.show_hidden_metrics:
            self.old = self._histogram_cls(name="vllm:old_seconds", labelnames=labelnames)
        self.label = "max_lora"
        self.lora = Gauge(name="vllm:lora", labelnames=[self.label])
        threads = ThreadCounter("vllm")

    def info(self, kind):
        name, text = None, None
        if kind == "cache":
            name = "vllm:cache_info"
        self._gauge_cls(name=name, labelnames=info.keys())
'''
SPECULATION = '''
class SpecDecodingProm:
    def __init__(self, speculative, labelnames, diffusion):
        if not speculative:
            return
        if diffusion:
            specs = [("vllm:steps", "")]
        else:
            specs = [("vllm:drafts", ""), ("vllm:accepted_total", "")]
        counters = [self._counter_cls(name=name, documentation=doc, labelnames=labelnames) for name, doc in specs]
'''
ENGINE = ["model_name", "engine"]


def _sources(folder: Path, loggers: str = LOGGERS, server: str = "Instrumentator().add()") -> Path:
    for path, text in zip((*vllm_metrics.FILES, vllm_metrics.SERVERS[1]), (loggers, SPECULATION, server)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def test_names_types_labels_and_conditions(tmp_path: Path) -> None:
    assert vllm_metrics.read_version(_sources(tmp_path)) == {
        "vllm:running": ["gauge", ENGINE, ""],
        "vllm:finished_total": ["counter", [*ENGINE, "reason"], ""],
        "vllm:named_elsewhere_total": ["counter", ENGINE, ""],
        "vllm:old_seconds": ["histogram", ENGINE, "self.show_hidden_metrics"],
        "vllm:lora": ["gauge", ["max_lora"], ""],
        "vllm:cache_info": ["gauge", None, "kind == 'cache'"],
        "vllm:steps_total": ["counter", ENGINE, "speculative and diffusion"],
        "vllm:drafts_total": ["counter", ENGINE, "speculative and not (diffusion)"],
        "vllm:accepted_total": ["counter", ENGINE, "speculative and not (diffusion)"],
        **vllm_metrics.HTTP,
    }


@pytest.mark.parametrize(
    ("loggers", "server", "why"),
    [
        ('Gauge(name=prefix + "running")', "Instrumentator()", "cannot be read"),
        (LOGGERS, "", "no Instrumentator"),
    ],
)
def test_another_form_is_an_error(tmp_path: Path, loggers: str, server: str, why: str) -> None:
    """And no table with less in it."""
    with pytest.raises(ValueError, match=why):
        vllm_metrics.read_version(_sources(tmp_path, loggers, server))


def test_table_of_versions_packs_and_expands() -> None:
    """Equal entries of versions in a row are one; a metric that pauses or changes has several."""
    one, two = ["gauge", [], ""], ["gauge", [], "hidden"]
    readings = {"1.0": {"a": one, "b": one}, "1.1": {"a": one}, "1.2": {"a": two, "b": one}}
    table = vllm_metrics.pack(readings)
    assert table["metrics"] == {"a": [["1.0", "1.1", *one], ["1.2", "1.2", *two]], "b": [["1.0", "1.0", *one], ["1.2", "1.2", *one]]}
    assert vllm_metrics.expand(table) == readings
    assert json.loads(vllm_metrics.dumps(table)) == table


def test_table_has_every_version_of_the_flags() -> None:
    """CONTRIBUTING.md says how a version is added."""
    flags = json.loads(vllm_metrics.FLAGS.read_text(encoding="utf-8"))
    assert json.loads(vllm_metrics.TABLE.read_text(encoding="utf-8"))["versions"] == flags["versions"]


def test_table_is_what_an_engine_served() -> None:
    """Each metric without a condition was there, with its type, and nothing that the table does not know; perf.py's estimates are not read."""
    table = vllm_metrics.expand(json.loads(vllm_metrics.TABLE.read_text(encoding="utf-8")))["0.26.0"]
    seen = dict(re.findall(r"^# TYPE ((?:vllm:|http_)\S+) (\w+)$", SEEN.read_text(encoding="utf-8"), re.MULTILINE))
    seen = {name: kind for name, kind in seen.items() if not name.endswith("_created") and "_per_gpu" not in name}
    assert {name for name, what in table.items() if not what[2]} - set(seen) == set()
    assert set(seen) - set(table) == set()
    assert {name: table[name][0] for name in seen} == seen
