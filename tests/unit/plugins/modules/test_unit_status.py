# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A unit whose supervisor waits for a GPU: a run does not wait with it."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.modules import unit_status

WAITS = "not starting: GPU 3 (GPU-3) has to be reset: the driver's recovery action is Reset; fix: reset it"
STATES = {
    "waits for a GPU": ("activating", WAITS, True), "starts": ("activating", "starting: loading weights, 43 %", False),
    # The status of the previous start, until systemd has ended it.
    "is being stopped": ("deactivating", WAITS, False), "serves": ("active", "serving", False),
}


@pytest.mark.parametrize("what", STATES)
def test_held(what: str) -> None:
    active, status, expected = STATES[what]
    assert unit_status.is_held({"ActiveState": active, "StatusText": status}) is expected


def test_the_cause_is_the_status() -> None:
    state = {"StatusText": WAITS, "Result": "success", "ExecMainCode": "", "ExecMainStatus": ""}
    assert unit_status.cause_of(state, ["failed: something of before"], True) == WAITS.partition(": ")[2]
    assert unit_status.cause_of(state, ["failed: it has ended"], False) == "it has ended"
