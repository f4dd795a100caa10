# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a tiny model is made from: an entry of the catalogue, or one of the same form in outside_catalogue.yml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent.parent
SHARD_BYTES = 256 * 1024


@dataclass(frozen=True)
class Spec:
    """One model to make.

    ``thinking`` is "never", "hybrid" (the model opens a thought unless told not to) or "always" (the template opens it). ``task`` is that of the entry,
    empty for chat.
    """

    repo: str
    revision: str
    architecture: str
    thinking: str
    context: int
    task: str = ""

    def fingerprint(self) -> str:
        """Changes with the spec and with every file that decides what the model is."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for path in sources():
            digest.update(path.read_bytes())
        return digest.hexdigest()

    @property
    def seed(self) -> int:
        """The seed of the weights."""
        return int.from_bytes(hashlib.sha256(self.repo.encode()).digest()[:4], "big")


Maker = Callable[[Spec, Path], None]


def sources() -> list[Path]:
    """The files that decide what the models are."""
    patterns = ("*.py", "tiny_models/*.py", "templates/*", "corpus.txt", "requirements.txt")
    return [path for pattern in patterns for path in sorted(HERE.glob(pattern))]


def read_specs(folder: Path, names: list[str], maker_of: Callable[[str, str], Maker | None]) -> list[Spec]:
    """The specs of the named entries, one for each repository and revision; without names, of all that can be made.

    ``folder`` is that of the catalogue, and ``maker_of`` returns what makes a model of an architecture and a task. Raises SystemExit, naming the entry,
    when there is none of a name, or when nothing makes a model of a named one.
    """
    specs: dict[tuple[str, str], Spec] = {}
    left = set(names)
    for path in [*sorted(folder.glob("*.yml")), HERE / "outside_catalogue.yml"]:
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", {}).items():
            if "unsupported" in entry or (names and name not in names):
                continue
            left.discard(name)
            spec = _spec(entry)
            if maker_of(spec.architecture, spec.task):
                specs[spec.repo, spec.revision] = spec
            elif names:
                raise SystemExit(f"{path.name}: {name}: no tiny model for architecture {spec.architecture!r} and task {spec.task or 'chat'!r}")
    if left:
        raise SystemExit(f"no model that can be served has one of these names: {', '.join(sorted(left))}")
    return list(specs.values())


def _spec(entry: dict[str, Any]) -> Spec:
    facts = entry.get("architecture") or {}
    return Spec(
        repo=entry["repo"],
        revision=str(entry.get("revision") or "main"),
        architecture=facts.get("class") or "",
        thinking=entry.get("thinking") or "never",
        context=int(facts.get("max_position_embeddings") or 0),
        task=entry.get("task") or "",
    )
