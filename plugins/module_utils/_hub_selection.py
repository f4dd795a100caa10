# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a repository are downloaded: all files that serving may need, the weights of each folder in one format only."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import typing as t

SAFETENSORS = ".safetensors"
# Formats that may have more than weights: a file is omitted only when there is a safetensors file of the same name.
TORCH = (".bin", ".pth", ".pt", ".ckpt")
# Formats that vLLM reads only without safetensors, or never: omitted when the model has safetensors.
WHOLE_MODEL = (".gguf", ".ggml", ".h5", ".msgpack", ".ot", ".tflite", ".mlmodel")
ONNX = (".onnx", ".onnx_data")
# By convention these folders have another copy of the whole model, which is useless when there are safetensors in the top folder.
OTHER_FOLDERS = ("original/", "metal/", "onnx/", "openvino/", "coreml/")
# Files of a training run; vLLM's loader ignores them.
TRAINING = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
# Folders of the official client and git, uploaded by mistake.
BOOKKEEPING = (".cache/", ".git/")

_SHARD = re.compile(r"[-.]\d+-of-\d+$|\.\d\d$")
# Names that frameworks give the model's own weights.
_FRAMEWORKS = ("pytorch_model", "tf_model", "flax_model", "rust_model", "consolidated", "diffusion_pytorch_model")
_MODEL = "model"


def select(paths: t.Sequence[str], exclude: t.Sequence[str], include: t.Sequence[str] = ()) -> list[str]:
    """Return the wanted paths, with the same patterns as `hf download --include --exclude`.

    With include patterns: the files that match. Without: all files except the same weights in another format, that is, in each folder files of
    other formats beside safetensors of the same name. Excluded files are never wanted.
    """
    named = [path for path in paths if not path.startswith(BOOKKEEPING) and not _matches(path, exclude)]
    if include:
        return [path for path in named if _matches(path, include)]
    stems: dict[str, set[str]] = {}
    for path in named:
        if path.endswith(SAFETENSORS):
            stems.setdefault(posixpath.dirname(path), set()).add(_stem(path, SAFETENSORS))
    models = {folder for folder, names in stems.items() if any(not name.startswith("adapter") for name in names)}
    return [path for path in named if not _is_once_more(path, stems, models)]


def _matches(path: str, patterns: t.Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _is_once_more(path: str, stems: t.Mapping[str, set[str]], models: set[str]) -> bool:
    """Whether a file has weights that are also there as safetensors, or is useless for serving with safetensors."""
    if "" in models and path.startswith(OTHER_FOLDERS):
        return True
    folder, name = posixpath.split(path)
    if name in TRAINING:
        return folder in stems
    ending = next((ending for ending in (*TORCH, *WHOLE_MODEL, *ONNX) if name.endswith(ending)), "")
    if not ending:
        return False
    stem = _stem(path, ending)
    if ending in TORCH:
        return stem in stems.get(folder, ()) or (stem == _MODEL and folder in models)
    return folder in models and (ending in WHOLE_MODEL or stem.startswith(_MODEL))


def _stem(path: str, ending: str) -> str:
    """The name of a file of weights without its format, its shard number, and the prefix of a framework."""
    stem = posixpath.basename(path)[: -len(ending)]
    shorter = _SHARD.sub("", stem)
    return _MODEL if shorter in _FRAMEWORKS else shorter
