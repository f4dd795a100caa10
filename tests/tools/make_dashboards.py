#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes Grafana's JSON of the dashboards of tests/tools/monitoring_dashboards into roles/monitoring/files/dashboards.

python tests/tools/make_dashboards.py            writes the files
python tests/tools/make_dashboards.py --check    fails if they are not current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from monitoring_dashboards import engine, fleet, gpus, hosts, multi_node, releases, service
from monitoring_dashboards.grafana import Dashboard

FOLDER = Path(__file__).resolve().parents[2] / "roles/monitoring/files/dashboards"
BOARDS: tuple[Dashboard, ...] = (fleet.BOARD, service.BOARD, engine.BOARD, gpus.BOARD, hosts.BOARD, multi_node.BOARD, releases.BOARD)


def files() -> dict[str, str]:
    """Name -> contents of each file."""
    return {f"{board.uid}.json": json.dumps(board.to_dict(), indent=1, ensure_ascii=False) + "\n" for board in BOARDS}


def stale() -> list[str]:
    """Names of files that are not what the code makes, and of those that it does not make."""
    made = files()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    return sorted(name for name in {*made, *found} if made.get(name) != found.get(name))


def main(arguments: list[str]) -> int:
    """Write or check the files."""
    if "--check" in arguments:
        for name in stale():
            print(f"{name} is not current: run python tests/tools/make_dashboards.py", file=sys.stderr)
        return 1 if stale() else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale():
        if name not in files():
            (FOLDER / name).unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
