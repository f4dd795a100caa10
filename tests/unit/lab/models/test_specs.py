# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tiny models the lab can make, and when it makes one again. The making itself needs torch, and is seen by the scenarios that serve them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
MODELS = ROOT / "lab" / "models"
CATALOGUE = ROOT / "roles" / "plan" / "files" / "catalogue"
sys.path.insert(0, str(MODELS))

import tiny_models.spec as specs  # noqa: E402
from tiny_models.kinds import maker_of  # noqa: E402


def wanted() -> Iterator[tuple[str, str]]:
    """The entries that each inventory of the checkout names in C(lab_models), with the file."""
    for path in sorted([*ROOT.glob("inventories/**/*.yml"), *ROOT.glob("molecule/*/inventory/**/*.yml"), *ROOT.glob("lab/**/inventory/**/*.yml")]):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name in found.get("lab_models") or [] if isinstance(found, dict) else []:
            yield str(path.relative_to(ROOT)), name


def test_each_model_of_an_inventory_can_be_made() -> None:
    names = dict.fromkeys(name for _path, name in wanted())
    assert len(names) > 10
    for path, name in wanted():
        assert len(specs.read_specs(CATALOGUE, [name], maker_of)) == 1, path


@pytest.mark.parametrize(
    ("name", "task", "made_by"),
    [
        ("qwen3-0.6b", "", "text"),
        ("glm-4.7-flash", "", "text"),
        ("smollm2-135m", "completion", "text"),
        ("qwen3-embedding-0.6b", "embedding", "poolers"),
        ("qwen3-reranker-0.6b", "rerank", "poolers"),
        ("bge-reranker-v2-m3", "rerank", "poolers"),
        ("whisper-large-v3-turbo", "transcription", "speech"),
        ("paddleocr-vl-1.6", "", "pictures"),
    ],
)
def test_the_task_decides_how_it_is_made(name: str, task: str, made_by: str) -> None:
    """The same class embeds, ranks or writes."""
    [spec] = specs.read_specs(CATALOGUE, [name], maker_of)
    maker = maker_of(spec.architecture, spec.task)
    assert spec.task == task and maker is not None and maker.__module__ == f"tiny_models.{made_by}"


@pytest.mark.parametrize(
    ("name", "message"), [("gemma-3-4b-it", "gemma.yml: gemma-3-4b-it: no tiny model for architecture 'Gemma3For"), ("no-such-model", "no-such-model")],
)
def test_a_model_that_cannot_be_made_is_named(name: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        specs.read_specs(CATALOGUE, ["qwen3-0.6b", name], maker_of)


def test_without_names_it_is_all_that_can_be_made() -> None:
    found = specs.read_specs(CATALOGUE, [], maker_of)
    assert len(found) > 40 and all(maker_of(spec.architecture, spec.task) for spec in found)
    assert len({(spec.repo, spec.revision) for spec in found}) == len(found)


def test_each_file_of_the_maker_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that other code would make is made again. What only starts the maker, or is part of the spec, does not count."""
    shutil.copytree(MODELS, tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(specs, "HERE", tmp_path / "models")
    [spec] = specs.read_specs(CATALOGUE, ["qwen3-0.6b"], maker_of)
    seen = [spec.fingerprint()]
    paths = sorted(path for path in (tmp_path / "models").rglob("*") if path.is_file() and path.name not in ("make_models.sh", "outside_catalogue.yml"))
    assert {path.suffix for path in paths} == {".py", ".jinja", ".txt"}
    for path in paths:
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        seen.append(spec.fingerprint())
    assert len(set(seen)) == 1 + len(paths) > 10
