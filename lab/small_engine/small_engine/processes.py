# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine's processes: forked, with vLLM's titles."""

from __future__ import annotations

import os
import signal
import typing as t

from setproctitle import setproctitle

from . import misbehaviour
from .channel import OPEN, Channel

# Processes that this process has forked.
CHILDREN: list[int] = []


def fork(title: str, work: t.Callable[[], None], *own: Channel) -> None:
    """Run something in a process of its own, which takes the channels C(own) with it."""
    pid = os.fork()
    if pid:
        CHILDREN.append(pid)
        for channel in own:
            channel.close()
        return
    status = 1
    try:
        CHILDREN.clear()
        for channel in [channel for channel in OPEN if channel not in own]:
            channel.close()
        setproctitle(title)
        on_sigterm(end)
        work()
        status = 0
    finally:
        os._exit(status)


def on_sigterm(act: t.Callable[[], None]) -> None:
    """Do something at SIGTERM, unless the engine ignores that signal."""
    def handle(_number: int, _frame: t.Any) -> None:
        if not misbehaviour.get("ignore_sigterm"):
            act()

    signal.signal(signal.SIGTERM, handle)


def end(status: int = 0) -> t.NoReturn:
    """End this process and its children."""
    stop_children()
    os._exit(status)


def stop_children() -> None:
    """Send SIGTERM to the children."""
    for pid in CHILDREN:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # It has ended already.
