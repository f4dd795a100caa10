# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that run outside of this collection's units, for example one that somebody started by hand or in a container."""

from __future__ import annotations

import glob
import os
import pwd
import re
import typing as t

from .. import _host
from . import texts

# Words of a command line that starts vLLM's server, and the titles that its processes give themselves (C(vllm/utils/system_utils.py)).
_SERVES = re.compile(rb"(?:^|\0)(?:\S*/)?vllm\0serve(?:\0|$)|(?:^|\0)vllm\.entrypoints\.[\w.]+(?:\0|$)")
_TITLE = re.compile(rb"VLLM::\w+")
# A supervisor has the engine's command after "--".
_SUPERVISOR = b"\0supervisor\0"
_LONGEST = 65536


def read(managed: t.Collection[str], used: t.Sequence[t.Mapping[str, t.Any]] = (), root: str = "/proc") -> list[dict[str, t.Any]]:
    """Return processes of engines, and other processes on GPUs, that belong to no managed unit. Command lines are not returned: they may have keys.

    :param used: processes on GPUs (gpus.py)
    """
    on_gpus: dict[int, set[int]] = {}
    for one in used:
        on_gpus.setdefault(one["pid"], set()).update([] if one["gpu"] is None else [one["gpu"]])
    found = []
    for folder in glob.iglob(os.path.join(root, "[0-9]*")):
        pid = int(os.path.basename(folder))
        title = _title(folder)
        if not title and pid not in on_gpus:
            continue
        unit = _host.unit_of(pid) if root == "/proc" else ""
        if unit not in managed:
            program = title or texts.one_line(_host.read_text(os.path.join(folder, "comm")), 40)
            found.append({"pid": pid, "program": program, "user": _user(folder), "unit": texts.one_line(unit, 120), "gpus": sorted(on_gpus.get(pid, ()))})
    return sorted(found, key=lambda item: item["pid"])


def _title(folder: str) -> str:
    """Return what a process is: C(vllm serve), or the title of an engine's process; empty for any other process."""
    try:
        with open(os.path.join(folder, "cmdline"), "rb") as file:
            text = file.read(_LONGEST)
    except OSError:
        return ""
    title = _TITLE.match(text)
    if title:
        return title[0].decode()
    return "vllm serve" if _SERVES.search(text) and _SUPERVISOR not in text else ""


def _user(folder: str) -> str:
    try:
        number = os.stat(folder).st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
