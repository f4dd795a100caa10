# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log lines in vLLM's format."""

from __future__ import annotations

import os
import time
import traceback


def log(process: str, text: str, level: str = "INFO", source: str = "small_engine.py:1") -> None:
    """Print a line of a process, for example C((EngineCore pid=7) INFO 11-26 11:00:00 [core.py:1] text)."""
    for line in text.splitlines():
        print(f"({process} pid={os.getpid()}) {level} {time.strftime('%m-%d %H:%M:%S')} [{source}] {line}", flush=True)


def log_exception(process: str, source: str) -> None:
    """Print the traceback of the current exception, a log line for each of its lines."""
    log(process, traceback.format_exc(), "ERROR", source)
