# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's mirror of models and wheels, as a client of an index uses it."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

WHEEL = "torch-1.0-py3-none-any.whl"


def test_a_wheel_is_sent_once(tmp_path: Path, mirrors: Any) -> None:
    """As indexes do: a client that has it is told so, and one whose copy is of another build gets the new one."""
    wheel, address = tmp_path / "models" / WHEEL, f"{mirrors[0].url}/wheels/{WHEEL}"
    wheel.write_bytes(b"one")
    with urllib.request.urlopen(address) as answer:
        etag, body = answer.headers["ETag"], answer.read()
    again = urllib.request.Request(address, headers={"If-None-Match": etag})
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(again)
    assert body == b"one" and mirrors[0].files()[""] == {"requests": 1, "ranges": 0, "tokens": 0, "bytes": 3, "unchanged": 1}
    wheel.write_bytes(b"other")
    with urllib.request.urlopen(again) as answer:
        assert answer.read() == b"other"
