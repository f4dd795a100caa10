# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No package mirror, and a firewall still to be installed."""

from __future__ import annotations

from collections.abc import Callable

from firewall import state
from lab import Play
from reach import FIRST, SECOND, on

BROKEN = "/etc/apt/apt.conf.d/99lab-broken"


def test_unreachable_mirror(play: Callable[..., Play]) -> None:
    """One clear error on each host, and nothing half applied."""
    for name in (FIRST, SECOND):
        on(name, f"echo 'Acquire::http::Proxy \"http://127.0.0.1:9\"; Acquire::https::Proxy \"http://127.0.0.1:9\"; Acquire::Retries 0;' >{BROKEN}")
    before = {name: state(name) for name in (FIRST, SECOND)}
    try:
        done = play("--limit", "tuned")
    finally:
        for name in (FIRST, SECOND):
            on(name, f"rm {BROKEN}")
    assert done.status != 0, done.output
    said = done.said
    assert "ufw" in said and "127.0.0.1" in said and "mirror" in said and "Traceback" not in said, done.output
    assert [counts["failed"] for counts in done.recap.values()] == [1, 1], done.output
    assert {name: state(name) for name in (FIRST, SECOND)} == before
