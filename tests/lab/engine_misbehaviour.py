# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has the small engine of a machine misbehave (lab/small_engine/small_engine/misbehaviour.py)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab import ROOT
from testinfra.host import Host

sys.path.insert(0, str(ROOT / "lab" / "small_engine"))

from small_engine import misbehaviour  # noqa: E402


def misbehave(host: Host, **settings: Any) -> None:
    """Have the engines of a host misbehave from now on; without settings they behave again."""
    assert set(settings) <= set(misbehaviour.KEYS)
    path = misbehaviour.PATH
    if settings:
        host.run_expect([0], "printf %%s %s > %s.new && chmod 644 %s.new && mv %s.new %s", json.dumps(settings), *[path] * 4)
    else:
        host.run_expect([0], "rm -f %s", path)


@contextmanager
def misbehaving(host: Host, **settings: Any) -> Iterator[None]:
    """Have them misbehave for a while."""
    misbehave(host, **settings)
    try:
        yield
    finally:
        misbehave(host)
