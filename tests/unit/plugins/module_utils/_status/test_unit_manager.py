# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd's answer about several units, as systemd 252 gives it."""

from __future__ import annotations

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_collections.inferops.gpu.plugins.module_utils._status import manager

SHOWN = """MainPID=2063
StatusText=serving, 0 running, 0 waiting
Result=success
NRestarts=3
MemoryCurrent=33247232
Id=vllm-a.service
LoadState=loaded
ActiveState=active
SubState=running
DropInPaths=/etc/systemd/system/vllm-a.service.d/nice.conf /usr/lib/systemd/system/service.d/x.conf
UnitFileState=enabled
StateChangeTimestampMonotonic=900000000
InactiveExitTimestampMonotonic=100000000
ActiveEnterTimestampMonotonic=200000000
InactiveEnterTimestampMonotonic=0
NeedDaemonReload=yes

MainPID=0
StatusText=failed: \x1b[2Jthe engine ended
Result=exit-code
NRestarts=0
MemoryCurrent=[not set]
ActiveState=failed
SubState=failed
UnitFileState=disabled
InactiveEnterTimestampMonotonic=50000000
StateChangeTimestampMonotonic=50000000
NeedDaemonReload=no

ActiveState=inactive
MemoryCurrent=18446744073709551615
InactiveEnterTimestampMonotonic=0
"""


def test_states_with_their_times() -> None:
    found = manager.parse(SHOWN, ["vllm-a.service", "vllm-b.service", "vllm-c.service"], booted=1_000_000_000.0)
    first, second, third = found.values()
    assert (first.active, first.since, first.main_pid, first.restarts, first.memory_bytes) == ("active", "2001-09-09T01:50:00+00:00", 2063, 3, 33247232)
    assert (first.needs_reload, first.enabled, len(first.drop_ins)) == (True, "enabled", 2)
    assert (second.active, second.since, second.result, second.memory_bytes) == ("failed", "2001-09-09T01:47:30+00:00", "exit-code", None)
    assert second.status == "failed: [2Jthe engine ended" and second.drop_ins == ()
    assert (third.active, third.since, third.memory_bytes) == ("inactive", "", None)


def test_a_systemd_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no host without services."""
    monkeypatch.setattr(_host, "run", lambda *command: "")
    assert manager.read([]) == {}
    with pytest.raises(OSError, match="systemctl show"):
        manager.read(["vllm-a.service"])
