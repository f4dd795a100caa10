# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs with memory, temperature and load, and the processes on them."""

from __future__ import annotations

import typing as t

from .. import _host, _nvidia
from . import texts

# Fields as `nvidia-smi --help-query-gpu` documents them, and `--help-query-compute-apps`.
_FIELDS = ("index", "uuid", "name", "memory.used", "memory.total", "temperature.gpu", "utilization.gpu")
_PROCESS_FIELDS = ("gpu_uuid", "pid", "used_memory")


def read() -> dict[str, t.Any]:
    """Return C(gpus), C(processes) on them and C(error): why nvidia-smi failed. Without nvidia-smi there are none, and no error."""
    gpus, error = read_gpus()
    # Not all drivers list the processes, for example in a virtual machine: then there are none to show.
    listed = _nvidia.ask("--query-compute-apps=" + ",".join(_PROCESS_FIELDS), "--format=csv,noheader,nounits")[0] if gpus else ""
    return {"gpus": gpus, "processes": parse_processes(listed, {gpu["uuid"]: gpu["index"] for gpu in gpus}), "error": texts.one_line(error)}


def read_gpus() -> tuple[list[dict[str, t.Any]], str]:
    """Return the GPUs with memory, temperature and load, and why nvidia-smi failed. Without nvidia-smi there are none, and no error."""
    said, error = _nvidia.ask("--query-gpu=" + ",".join(_FIELDS), "--format=csv,noheader,nounits")
    if error == "nvidia-smi is not installed" or "No devices were found" in said + error:
        return [], ""
    return parse(said), error


def parse(text: str) -> list[dict[str, t.Any]]:
    """Return the GPUs of a query for C(_FIELDS). A value that nvidia-smi does not report, such as those of a lost GPU, is None."""
    found = []
    for cells in _cells(text, len(_FIELDS)):
        if cells[0].isdigit():
            used, total, temperature, load = (int(cell) if cell.isdigit() else None for cell in cells[3:])
            found.append({
                "index": int(cells[0]), "uuid": texts.one_line(cells[1], 80), "name": texts.one_line(cells[2], 80),
                "memory_used_bytes": None if used is None else used * _nvidia.MIB, "memory_bytes": None if total is None else total * _nvidia.MIB,
                "temperature": temperature, "utilization": load,
            })
    return found


def parse_processes(text: str, indexes: t.Mapping[str, int]) -> list[dict[str, t.Any]]:
    """Return the processes of a query for C(_PROCESS_FIELDS), with the index of the GPU and the systemd unit of each.

    :param indexes: index of each GPU by its UUID
    """
    found = []
    for uuid, pid, memory in _cells(text, len(_PROCESS_FIELDS)):
        if pid.isdigit():
            used = int(memory) * _nvidia.MIB if memory.isdigit() else None
            found.append({"gpu": indexes.get(uuid), "pid": int(pid), "memory_bytes": used, "unit": _host.unit_of(int(pid))})
    return found


def _cells(text: str, count: int) -> list[list[str]]:
    lines = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    return [cells for cells in lines if len(cells) == count]
