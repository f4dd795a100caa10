# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read single values of the tools' JSON. Nothing in their output is trusted: what is no plausible value is unknown."""

from __future__ import annotations

import json
import re
import typing as t

# A GPU as the host's facts have it, see `gpu`.
Gpu = t.Dict[str, t.Any]

MOST_GPUS = 1024
_LONGEST_NAME = 100
# amd-smi and rocm-smi divide by 1024: "MB" are MiB.
_UNITS = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_MOST_MEMORY = 2**44
_UNKNOWN = ("", "n/a", "none", "unknown")


def gpu(index: int, **known: t.Any) -> Gpu:
    """Return a GPU with all keys of the facts. Text is empty when unknown, numbers are None.

    C(uuid) is C(GPU-<16 hexadecimal digits>), the name in ROCR_VISIBLE_DEVICES; C(bus_id) the PCI address; C(gfx) the LLVM target, such as gfx942;
    C(node) the number of its KFD node, whose order is that of HIP's numbers; C(partition) the mode of a GPU that is divided, such as CPX.
    """
    empty = {"uuid": "", "bus_id": "", "name": "", "gfx": "", "memory_bytes": None, "driver_version": "", "node": None, "partition": ""}
    return {"index": index, **empty, **known}


def json_in(text: str, program: str) -> t.Any:
    """Return the JSON in a program's output, which may print warnings before it. Raises ValueError."""
    start = re.search(r"^\s*[\[{]", text, flags=re.MULTILINE)
    if start is None:
        raise ValueError(f"{program} printed no JSON: {text.strip()[:200]!r}")
    try:
        return json.JSONDecoder().raw_decode(text[start.start():].lstrip())[0]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{program} printed invalid JSON: {error or type(error).__name__}") from error


def text_of(value: t.Any) -> str:
    """Return a printable text of limited length; empty for the tools' names of unknown values."""
    if not isinstance(value, str) or value.strip().lower() in _UNKNOWN:
        return ""
    return "".join(character for character in value.strip() if character.isprintable())[:_LONGEST_NAME]


def number_of(value: t.Any) -> int | None:
    """Return a whole number that is not negative, also from text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else None


def gfx_of(value: t.Any) -> str:
    """Return an LLVM target without its features: gfx90a of C(gfx90a:sramecc+:xnack-); empty for anything else."""
    match = re.match(r"gfx[0-9a-f]{3,5}(?![0-9a-z])", value.lower()) if isinstance(value, str) else None
    return match.group() if match else ""


def bus_of(value: t.Any) -> str:
    """Return a PCI address in lower case; empty for anything else."""
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", found) else ""


def bytes_of(value: t.Any) -> int | None:
    """Return the bytes of C({"value": 65520, "unit": "MB"}) or C("65520 MB"); None when unknown or not plausible."""
    if isinstance(value, dict):
        value = f"{value.get('value')} {value.get('unit')}"
    match = re.fullmatch(r"(\d{1,18})\s*([KMGT]?B)?", value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    found = int(match[1]) * _UNITS[match[2] or "B"]
    return found if 0 < found < _MOST_MEMORY else None


def driver_of(value: t.Any) -> str:
    """Return the version of the driver, such as 6.16.13. Empty for the kernel's own driver, of which amd-smi prints the kernel's version line."""
    found = text_of(value)
    return found if re.fullmatch(r"\d+(\.\d+)+", found) else ""


def uuid_of(unique_id: int | None) -> str:
    """Return a GPU's name in ROCR_VISIBLE_DEVICES from the number that the kernel gives it; empty when it has none."""
    return f"GPU-{unique_id:016x}" if unique_id and unique_id < 2**64 - 1 else ""


def partition_of(mode: t.Any, number: t.Any = 0) -> str:
    """Return the mode of a divided GPU; empty for a whole one (SPX). A number above 0 is a part whatever the mode."""
    found = text_of(mode).upper()
    return found if found and found != "SPX" else "a part" if number_of(number) else ""
