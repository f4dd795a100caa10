# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bare machine loses its power while it downloads, and while it builds; then a run completes what is there, to a right answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from served import Service
from virtual import Machine

RELEASES = "/opt/inferops/releases"
MODELS = "/var/lib/inferops/models"
# Until the play is where the power goes: packages come first.
SECONDS = 1500


def test_power_cut_while_downloading(machine: Machine, killed_play: Callable[..., str], slow_mirror: None) -> None:
    """After the boot nothing has the name of complete weights."""
    killed_play(lambda: machine.found(f"{MODELS}/*/*.partial/*"), "the download is under way", seconds=SECONDS)
    machine.power_cut()
    assert not machine.found(f"{MODELS}/*/*.manifest.json"), "a manifest of half a download"
    # The download goes on at the boot, and is part of it.
    state = machine.output("systemctl is-system-running --wait || true", timeout=SECONDS)
    assert state == "running", machine.output("systemctl --failed --no-pager")


def test_power_cut_while_building(machine: Machine, killed_play: Callable[..., str]) -> None:
    """After the boot nothing has the name of a complete release, and nothing serves."""
    # Packages are unpacked: the lock file is there, the release's own record is not.
    killed_play(lambda: machine.found(f"{RELEASES}/.building-*/lib/python*/site-packages/torch"), "the build is under way", seconds=SECONDS)
    assert machine.found(f"{RELEASES}/.building-*"), "the build was over before it could be cut off"
    machine.power_cut()
    assert not machine.found(f"{RELEASES}/vllm-*"), "half a release under its final name"
    assert not machine.found("/etc/systemd/system/vllm-*"), "a unit without a release"


def test_site_completes_it(machine: Machine, play: Callable[..., Any], service: Service, measured: Callable[[str, float], None]) -> None:
    """The next run goes on from what is there."""
    began = time.monotonic()
    done = play()
    assert done.status == 0, done.output
    service.keep_answer()
    measured("power cut while downloading and while building a first deployment: site.yml", service.answers_since(began))


def test_second_run_changes_nothing(play: Callable[..., Any], service: Service) -> None:
    """What two power cuts left behind is made good in one run."""
    done = play()
    assert [counts["changed"] for counts in done.recap.values()] == [0], done.output
    assert service.answers()
