#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a repository with a LoRA adapter for a tiny model that writes text, which the lab's mirror serves.

    make_adapter.py MODELS ORG/NAME BASE SEED [RANK]

BASE is the repository of the model that the adapter names. The weights are random, large enough to change what the model says, and the same for the same
seed. A repository may have several: each seed and rank is a commit, and main is the last one made. Prints the commit.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import sys
from pathlib import Path
from typing import Any

# Of the tiny models (lab/models/tiny_models/shapes.py): layers, width, and the width of all heads.
LAYERS, HIDDEN, HEADS = 4, 64, 128


def weights(seed: int, rank: int) -> bytes:
    """The two matrices of each layer's o_proj, which writes to what all later layers read, as a safetensors file in 32-bit floats."""
    source = random.Random(seed)
    header: dict[str, Any] = {}
    data = b""
    for layer in range(LAYERS):
        for name, shape in (("lora_A", (rank, HEADS)), ("lora_B", (HIDDEN, rank))):
            count = shape[0] * shape[1]
            part = struct.pack(f"<{count}f", *(source.gauss(0, 1) for _ in range(count)))
            key = f"base_model.model.model.layers.{layer}.self_attn.o_proj.{name}.weight"
            header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(part)]}
            data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def make(models: Path, repo: str, base: str, seed: int, rank: int = 8) -> str:
    """Make a commit of a repository in O(models) and return it."""
    commit = hashlib.sha1(f"{repo} {base} o_proj {seed} {rank}".encode()).hexdigest()
    home = models / repo.replace("/", "--")
    (home / commit).mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": rank, "lora_alpha": 4 * rank, "target_modules": ["o_proj"], "bias": "none"}
    contents = {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": weights(seed, rank)}
    files = []
    for name, content in contents.items():
        (home / commit / name).write_bytes(content)
        file: dict[str, Any] = {"path": name, "size": len(content), "oid": oid(content)}
        if name.endswith(".safetensors"):
            sha256 = hashlib.sha256(content).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
            file.update(oid=oid(pointer), lfs={"oid": sha256, "size": len(content), "pointerSize": len(pointer)})
        files.append(file)
    path = home / "repo.json"
    about = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"id": repo, "refs": {}, "revisions": {}}
    about["refs"]["main"] = commit
    about["revisions"][commit] = {"files": files}
    path.write_text(json.dumps(about, indent=1), encoding="utf-8")
    return commit


def oid(content: bytes) -> str:
    """Git's object id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))
