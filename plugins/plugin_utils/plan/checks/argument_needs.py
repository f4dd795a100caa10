# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What arguments require: packages that vLLM does not install, files that the unit can see, and weights with that quantisation."""

from __future__ import annotations

import json

from typing import Any, Iterator, Mapping

from ..errors import PlanError, shown
from ..inputs.settings import sources
from ..placement.draft import HostDraft, ServiceDraft, missing_of
from .base import check
from .sharing import HIDDEN_PATHS

# Values of --quantization by the quantisation of the weights. The methods that quantise while loading need weights that are not quantised.
_LOADED = ("fp8", "fp8_per_tensor", "fp8_per_channel", "fp8_per_block", "experts_int8", "int8_per_channel_weight_only", "online", "mxfp8", "humming",
           "nvfp4_per_token", "torchao", "inc", "bitsandbytes")
_HELD: dict[str, tuple[str, ...]] = {
    "awq": ("awq", "auto_awq", "awq_marlin", "moe_wna16", "humming", "compressed-tensors", "quark", "inc"),
    "gptq": ("gptq", "auto_gptq", "gptq_marlin", "moe_wna16", "humming", "compressed-tensors", "quark", "inc"),
    "fp8-block": ("fp8", "compressed-tensors", "deepseek_v4_fp8", "humming", "quark", "modelopt", "modelopt_mixed"),
    "fp8-channel": ("compressed-tensors", "fbgemm_fp8", "fp8", "humming", "quark", "modelopt", "modelopt_mixed"),
    "fp8-tensor": ("fp8", "compressed-tensors", "modelopt", "modelopt_mixed", "humming", "quark"),
    "int8-channel": ("compressed-tensors", "quark", "humming"),
    "mxfp4": ("mxfp4", "gpt_oss_mxfp4", "compressed-tensors", "quark", "humming", "modelopt", "modelopt_mixed"),
    "nvfp4": ("modelopt_fp4", "modelopt", "modelopt_mixed", "compressed-tensors", "humming"),
}


@check(accept="packages")
def required_packages_are_listed(host: HostDraft) -> Iterator[PlanError]:
    """The release's requirements list the packages that an argument imports."""
    for draft in host.services:
        if draft.release.source.kind == sources.FILE:
            # A custom wheel may depend on any package.
            continue
        for lack in missing_of(draft.given, draft.entry, draft.release.requirements, draft.version, host.tables):
            names, need = lack.packages, lack.need
            if need is None:
                why = f"{draft.entry.architecture.class_name if draft.entry else 'it'} takes audio, which needs packages that vLLM does not install"
                fix = f"add {', '.join(f'{name}==<its version>' for name in names)} to vllm_requirements"
                yield PlanError(host.name, draft.label, "model", shown(draft.service.model), why, fix)
                continue
            why = f"it needs the package {names[0]}, which vLLM does not install"
            version = host.settings.multi_node_ray_version.text if names[0] == "ray" else "<its version>"
            fix = f"add {names[0]}=={version} to vllm_requirements"
            named = draft.where(need.key).rpartition(".")[2].partition(" ")[0]
            fix += f"; or write {need.instead}" if need.instead else f"; or remove {named}"
            yield PlanError(host.name, draft.label, draft.where(need.key), shown(draft.given[need.key], need.key), why, fix)


@check()
def paths_are_visible_to_the_unit(host: HostDraft) -> Iterator[PlanError]:
    """The service's unit can see each file that an argument or variable names."""
    for draft in host.services:
        named = [(draft.where(key), key, value) for key, value in draft.given.items()]
        named += [(f"environment.{key}", key, value) for key, value in draft.service.environment.items() if key != "PATH"]
        for where, key, value in named:
            for name, path in _paths(value, key):
                hidden = next((place for place in HIDDEN_PATHS if path == place or path.startswith(f"{place}/")), "")
                if hidden:
                    why = f"the service's unit cannot see files in {hidden} (ProtectHome=, PrivateTmp=)"
                    fix = f"move it, for example to /srv or /opt, and set {name} to the new path"
                    yield PlanError(host.name, draft.label, where, shown(path, key), why, fix)
                    break


def _paths(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Absolute paths in a value at any depth, each with its key; name=path and file URLs included."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("{", "[")):
            try:
                yield from _paths(json.loads(text), name)
                return
            except (ValueError, RecursionError):
                pass
        for part in text.removeprefix("file://").split(","):
            word = part.strip().rpartition("=")[2] if "=" in part else part.strip()
            if word.startswith("/") and "\n" not in word:
                yield name, word
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _paths(inner, name)


@check(accept="quantization")
def quantization_matches_the_weights(host: HostDraft) -> Iterator[PlanError]:
    """A quantisation in the arguments is that of the weights, or one that vLLM applies while it loads unquantised weights."""
    for draft in host.services:
        named = draft.given.get("quantization")
        held = draft.entry.architecture.quantization if draft.entry else ""
        if not isinstance(named, str) or named in ("", "None") or not held:
            continue
        if held == "none" and named not in _LOADED and named in {name for names in _HELD.values() for name in names}:
            why = "the weights are not quantised, and this method needs quantised weights"
            yield _wrong(host, draft, named, why, "remove quantization, or serve a repository with this quantisation")
        elif held in _HELD and named not in _HELD[held]:
            why = f"the weights are quantised as {held}, and vLLM refuses another method"
            yield _wrong(host, draft, named, why, "remove quantization: vLLM reads it from the weights")


def _wrong(host: HostDraft, draft: ServiceDraft, named: str, why: str, fix: str) -> PlanError:
    return PlanError(host.name, draft.label, draft.where("quantization"), shown(named), why, fix)
