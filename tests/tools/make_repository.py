#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a repository of weights without a usable model, which the lab's mirror serves.

    make_repository.py MODELS ORG/NAME SHARDS BYTES

Each shard has BYTES random bytes, which are always the same for the same repository. The repository also has the small files of a
model, and the same weights in other formats, which no download should fetch. Prints the commit.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

CHUNK = 4 * 1024 * 1024


def make(models: Path, repo: str, shards: int, size: int) -> str:
    """Make the missing files of a repository in O(models) and return its commit; O(size) is in bytes."""
    commit = hashlib.sha1(f"{repo} {shards} {size}".encode()).hexdigest()
    folder = models / repo.replace("/", "--")
    if (folder / "repo.json").exists() and commit in (folder / "repo.json").read_text(encoding="utf-8"):
        return commit
    rows = []
    for number in range(1, shards + 1):
        rows.append(large(folder / commit, f"model-{number:05}-of-{shards:05}.safetensors", size, f"{repo} {number}"))
    for name in ("pytorch_model.bin", "original/consolidated.00.pth", "model-q4.gguf"):
        rows.append(large(folder / commit, name, min(size, 65536), name))
    for name, text in {"config.json": '{"model_type": "none"}\n', "tokenizer.json": "{}\n" * 5000, "README.md": "Nothing to serve.\n", "empty.txt": ""}.items():
        (folder / commit / name).write_text(text, encoding="utf-8")
        oid = hashlib.sha1(f"blob {len(text)}\0{text}".encode()).hexdigest()
        rows.append({"path": name, "size": len(text), "oid": oid})
    about = {"id": repo, "refs": {"main": commit}, "revisions": {commit: {"files": sorted(rows, key=lambda row: row["path"])}}}
    (folder / "repo.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return commit


def large(folder: Path, name: str, size: int, seed: str) -> dict[str, Any]:
    """Make a file of random bytes and return its entry in the Hub's file list."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    source, sha256, left = random.Random(seed), hashlib.sha256(), size
    with path.open("wb") as file:
        while left:
            chunk = source.randbytes(min(left, CHUNK))
            sha256.update(chunk)
            file.write(chunk)
            left -= len(chunk)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256.hexdigest()}\nsize {size}\n"
    oid = hashlib.sha1(f"blob {len(pointer)}\0{pointer}".encode()).hexdigest()
    return {"path": name, "size": size, "oid": oid, "lfs": {"oid": sha256.hexdigest(), "size": size, "pointerSize": len(pointer)}}


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
