# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the engine misbehaves on request: a JSON file on the host, which the tests write. It is read again at each use; without it nothing happens.

| key | what |
|---|---|
| C(exit_at_start) | status with which C(vllm serve) ends at once |
| C(start_delay) | seconds before the engine is ready |
| C(exit_after), C(exit_status) | seconds after its start at which C(vllm serve) ends, and its status (0, vLLM's own after its engine died) |
| C(hang) | the engine answers no request any more; C(/health) still answers 200 |
| C(device_error) | the next request has the engine print this error of a GPU, and then hang |
| C(status) | HTTP status of every completion |
| C(token_delay) | seconds between two tokens of a stream |
| C(ignore_sigterm) | SIGTERM ends no process of the engine |
| C(once) | all of this is for engines that had started before the file was written, and not for the next one |
"""

from __future__ import annotations

import json
import os
import time
import typing as t

# In memory: a machine that is rebooted starts without misbehaviour.
PATH = os.environ.get("SMALL_ENGINE_MISBEHAVIOUR", "/run/small-engine.json")
KEYS = ("exit_at_start", "start_delay", "exit_after", "exit_status", "hang", "device_error", "status", "token_delay", "ignore_sigterm", "once")
# When this engine started; its other processes are forked.
START = time.time()


def read() -> dict[str, t.Any]:
    """The present settings. Raises ValueError for a key that does not exist."""
    try:
        with open(PATH, encoding="utf-8") as file:
            found: dict[str, t.Any] = json.load(file)
    except FileNotFoundError:
        return {}
    unknown = set(found) - set(KEYS)
    if unknown:
        raise ValueError(f"{PATH}: no such keys: {', '.join(sorted(unknown))}")
    return {} if found.get("once") and os.stat(PATH).st_mtime < START else found


def get(key: str) -> t.Any:
    """One setting; None when it is not set."""
    return read().get(key)
