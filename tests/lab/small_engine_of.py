# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The small engine of a machine, which misbehaves on request (lab/small_engine/small_engine/misbehaviour.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testinfra.host import Host

PATH = "/run/small-engine.json"


@contextmanager
def misbehaving(host: Host, **settings: Any) -> Iterator[None]:
    """Have the engines of a host misbehave; they behave again afterwards."""
    host.run_expect([0], "printf %%s %s > %s.new && chmod 644 %s.new && mv %s.new %s", json.dumps(settings), *[PATH] * 4)
    try:
        yield
    finally:
        host.run_expect([0], "rm -f %s", PATH)
