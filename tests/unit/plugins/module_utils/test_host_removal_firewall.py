# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the firewall of a host that is taken out of service: nobody is locked out, nothing of others goes."""

from __future__ import annotations

import dataclasses

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._firewall import rules, state
from ansible_collections.inferops.gpu.plugins.module_utils._host_removal import Places
from ansible_collections.inferops.gpu.plugins.modules import host_removal

OURS = [rules.make(22, "tcp", "0.0.0.0/0", rules.SSH), rules.make(8001, "tcp", "10.0.0.0/8", "inferops: api a")]
THEIRS = rules.make(9100, "tcp", "10.0.0.0/8", "monitoring")
DELETE_SSH = ["delete", "allow", "proto", "tcp", "from", "0.0.0.0/0", "to", "any", "port", "22", "comment", "inferops: ssh"]
DELETE_API = ["delete", "allow", "proto", "tcp", "from", "10.0.0.0/8", "to", "any", "port", "8001", "comment", "inferops: api a"]


@pytest.mark.parametrize(
    ("enabled", "was_on", "commands", "kept"),
    [
        # Off first: with "deny incoming" and no rule for SSH nobody would get in.
        (True, False, [["disable"], DELETE_SSH, DELETE_API], 0),
        (True, True, [DELETE_API], 1),
        (False, True, [DELETE_SSH, DELETE_API], 0),
        (False, False, [DELETE_SSH, DELETE_API], 0),
    ],
)
def test_rules_of_ours_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool, was_on: bool, commands: list[list[str]], kept: int) -> None:
    before = tmp_path / "firewall" / "before-first-change" / "etc" / "ufw"
    before.mkdir(parents=True)
    (before / "ufw.conf").write_text(f"ENABLED={'yes' if was_on else 'no'}\nLOGLEVEL=low\n")
    found = state.State(installed=True, enabled=enabled, rules=(*OURS, THEIRS))
    monkeypatch.setattr(host_removal._firewall, "saved", dict)
    monkeypatch.setattr(host_removal._firewall, "read_state", lambda tables, directory: found)
    places = Places(**{field.name: str(tmp_path) for field in dataclasses.fields(Places) if field.name != "weights"}, weights=False)
    told, left = host_removal.firewall(places)
    assert (told, len(left)) == (commands, kept)
    monkeypatch.setattr(host_removal._firewall, "read_state", lambda tables, directory: dataclasses.replace(found, rules=(THEIRS,)))
    # UFW of which nothing is ours is not turned off.
    assert host_removal.firewall(places) == ([], [])
