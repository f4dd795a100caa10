# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The play and the process on the host killed while the firewall is set up for the first time: nobody is shut out, ever.

The tests run in this order on bare hosts and leave half a firewall behind, which `converge` has to make whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from firewall import is_active, is_pending, is_stopped, kill, policy, stop_after
from lab import wait_until
from reach import FIRST, SECOND, can_log_in, on

# The least that there is to set.
RETURN_AFTER = 20
QUICK = ["--limit", "tuned", "-e", json.dumps({"firewall_rollback_timeout": RETURN_AFTER})]


def test_killed_when_it_was_turned_on(killed_play: Callable[..., str]) -> None:
    """The firewall works and nobody has confirmed it: the controller gets in, and the host puts its former state back by itself."""
    stop_after(SECOND, "--force enable")
    killed_play(lambda: is_stopped(SECOND), "the firewall is turned on", *QUICK)
    assert is_active(SECOND)
    assert can_log_in(SECOND) and can_log_in(FIRST)
    kill(SECOND)
    wait_until(lambda: not is_pending(SECOND) and not is_pending(FIRST), RETURN_AFTER + 30, "the former state is back")
    assert not is_active(SECOND) and not is_active(FIRST)
    assert [policy(name, "INPUT") for name in (FIRST, SECOND)] == ["ACCEPT", "ACCEPT"]
    assert can_log_in(SECOND) and can_log_in(FIRST)
    assert on(SECOND, "systemctl list-units --failed --plain --no-legend") == ""


def test_killed_between_deny_and_allow(killed_play: Callable[..., str]) -> None:
    """A host whose owner had allowed everything incoming: just now it is denied, and the firewall not yet as it should be."""
    on(SECOND, "ufw default allow incoming && ufw --force enable")
    stop_after(SECOND, "default deny incoming")
    killed_play(lambda: is_stopped(SECOND), "everything incoming is denied", *QUICK)
    kill(SECOND)
    assert policy(SECOND, "INPUT") == "DROP"
    assert can_log_in(SECOND) and can_log_in(FIRST)
