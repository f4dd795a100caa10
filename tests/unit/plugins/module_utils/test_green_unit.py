# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The temporary unit of a blue/green update: who sees it, and as what."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _green, _host, _prune
from ansible_collections.inferops.gpu.plugins.module_utils._status import read
from ansible_collections.inferops.gpu.plugins.module_utils.bundle import contents

UNIT = "inferops-green-q.service"


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run has left the unit; a file of the same name is somebody else's."""
    monkeypatch.setattr(_green, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(_green, "_RECORDS", str(tmp_path))
    (tmp_path / UNIT).write_text(f"{_host.UNIT_MARK} (role model_service).\n[Service]\n", encoding="utf-8")
    (tmp_path / "inferops-green-other.service").write_text("[Service]\n", encoding="utf-8")
    (tmp_path / "inferops-green-q.env").write_text("VLLM_API_KEY=secret\n", encoding="utf-8")
    return UNIT


def test_only_own_units_are_found(left: str) -> None:
    assert _green.units() == [left] and _green.service_of(left) == "q" and _green.unit_of("q") == left


def test_status_takes_its_processes_for_managed_ones(left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no service of its own, and not an engine that somebody else has started."""
    monkeypatch.setattr(read, "read_units", lambda weights, state: [{"unit": "vllm-q.service"}])
    monkeypatch.setattr(read.gpus, "read", lambda: {"processes": ["p"]})
    monkeypatch.setattr(read.unmanaged, "read", lambda managed, used: [*sorted(managed), *used])
    found = read.read("/nowhere", "/nowhere", "/nowhere", "/nowhere")
    assert found["unmanaged"] == [left, "vllm-q.service", "p"]
    assert [unit["unit"] for unit in found["units"]] == ["vllm-q.service"]


def test_the_bundle_has_its_journal_and_the_names_of_its_variables(left: str) -> None:
    assert left in contents.managed_units()
    items = dict(contents.of_environments("/nowhere"))
    assert list(items) == ["environment/inferops-green-q.env"] and items["environment/inferops-green-q.env"]() == "VLLM_API_KEY=(hidden)\n"


def test_its_adapters_go_with_it() -> None:
    assert _green.adapters_file("q") in _green.files(UNIT)


def test_the_adapters_of_both_engines_are_in_use(left: str, tmp_path: Path) -> None:
    """Of the service and of the one beside it; their units only name the files."""
    texts = []
    for name, revision in (("own", "a" * 40), ("green", "b" * 40)):
        (tmp_path / f"{name}.json").write_text(f'{{"adapters": {{"x": {{"path": "/m/org--lora/{revision}/sub"}}}}}}', encoding="utf-8")
        texts.append(f"{_host.UNIT_MARK}\nEnvironment=INFEROPS_LORA_ADAPTERS={tmp_path}/{name}.json\n")
    (tmp_path / left).write_text(texts[1], encoding="utf-8")
    found = _prune.read_adapters([texts[0], "[Service]\n"])
    assert _prune.unit_paths(found, "/m") == {f"/m/org--lora/{'a' * 40}", f"/m/org--lora/{'b' * 40}"}
