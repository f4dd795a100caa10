# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read GPUs from nvidia-smi's machine-readable output."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

# Names as `nvidia-smi --help-query-gpu` documents them; the order is that of the parsed columns.
QUERY = ("index", "uuid", "name", "memory.total", "driver_version", "compute_cap")
MIB = 1024 * 1024


def parse_gpus(text: str) -> list[dict[str, t.Any]]:
    """Turn `--query-gpu=… --format=csv,noheader,nounits` output into dicts; memory becomes bytes.

    A value that nvidia-smi does not know ("[N/A]", "[Not Supported]") becomes None. Raises ValueError on a line of another shape.
    """
    gpus = []
    for line in text.splitlines():
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(QUERY) or not cells[0].isdigit():
            raise ValueError(f"nvidia-smi printed a line that is not a GPU: {line.strip()!r}")
        known = [None if cell.startswith("[") else cell for cell in cells]
        gpus.append({
            "index": int(cells[0]),
            "uuid": known[1],
            "name": known[2],
            "memory_bytes": int(cells[3]) * MIB if cells[3].isdigit() else None,
            "driver_version": known[4],
            "compute_capability": known[5],
        })
    return gpus


def read_gpus() -> tuple[list[dict[str, t.Any]], str]:
    """Return the host's GPUs and a fault. No nvidia-smi means no GPUs and no fault; one that fails is a fault."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return [], ""
    try:
        # A driver in trouble can hang nvidia-smi for minutes; a healthy one answers in a few seconds at worst.
        done = subprocess.run(
            [path, "--query-gpu=" + ",".join(QUERY), "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=60, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi gave no answer: {error}"
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        # "No devices were found" is how nvidia-smi says that a working driver has no GPU.
        if "No devices were found" in said:
            return [], ""
        return [], f"nvidia-smi failed with status {done.returncode}: {said}"
    try:
        return parse_gpus(done.stdout), ""
    except ValueError as error:
        return [], str(error)
