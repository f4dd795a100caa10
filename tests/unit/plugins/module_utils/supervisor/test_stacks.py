# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is recorded about a program that hangs, where the program ends in the same moment."""

from __future__ import annotations

import os

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.supervisor import stacks


def test_a_program_that_has_just_ended_gets_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its PID is 0, and kill(2) would take that for the supervisor's own process group."""
    signalled: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signalled.append(pid))
    stacks.dump([0], seconds=0)
    assert signalled == []
