# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes of an engine that wait leave the lab's few CPUs to others."""

from __future__ import annotations

import importlib
import sys

_MODULE = "vllm.distributed.device_communicators.shm_broadcast"
# vLLM 0.32 asks for one second after each message whether the next one is there: on two CPUs a fifth of one, with a probe every five seconds.
_SECONDS = 0.01


def patch(load: bool = False) -> None:
    """Let what waits for a message sleep sooner; it is woken by it either way.

    :param load: whether to import vLLM's module; without it, nothing happens until something else has
    """
    module = importlib.import_module(_MODULE) if load else sys.modules.get(_MODULE)
    # While vLLM imports it, it may not have the class yet.
    condition = getattr(module, "SpinCondition", None)
    if condition:
        condition.__init__.__defaults__ = (_SECONDS,)
