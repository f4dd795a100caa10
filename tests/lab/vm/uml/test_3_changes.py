# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power cuts in the middle of a change: it has changed nothing, and the next run makes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from served import Service
from virtual import Machine

RELEASES = "/opt/inferops/releases"
MODELS = "/var/lib/inferops/models"


def test_power_cut_while_building_the_next_release(
    machine: Machine, service: Service, upgrade: dict[str, Any], killed_play: Callable[..., str], measured: Callable[[str, float], None]
) -> None:
    """The service comes back on the release that it had."""
    before = machine.found(f"{RELEASES}/vllm-*")
    killed_play(lambda: machine.found(f"{RELEASES}/.building-*/lib/python*/site-packages/torch"), "the build is under way", seconds=1500, variables=upgrade)
    began = time.monotonic()
    machine.power_cut()
    measured("power cut while building an upgrade: the previous release", service.answers_since(began))
    assert machine.found(f"{RELEASES}/vllm-*") == before


def test_site_completes_the_upgrade(
    machine: Machine, play: Callable[..., Any], service: Service, upgrade: dict[str, Any], measured: Callable[[str, float], None]
) -> None:
    """The next run builds it, whatever the cut left in uv's cache, and the service answers on it."""
    before = service.show("ExecStart")
    began = time.monotonic()
    done = play(variables=upgrade)
    assert done.status == 0, done.output
    service.keep_answer()
    measured("power cut while building an upgrade: site.yml, the new release", service.answers_since(began))
    assert service.show("ExecStart") != before
    assert not machine.found(f"{RELEASES}/.building-*")


def test_power_cut_while_downloading_again(
    machine: Machine, service: Service, upgrade: dict[str, Any], killed_play: Callable[..., str], slow_mirror: None, play: Callable[..., Any],
    measured: Callable[[str, float], None],
) -> None:  # fmt: skip
    """Weights that are gone are downloaded again; a power cut meanwhile leaves a service without weights, which the next run mends."""
    machine.output(f"systemctl stop {service.unit} && rm -rf {MODELS}/*/*.manifest.json {MODELS}/*/????????????????????????????????????????")
    killed_play(lambda: machine.found(f"{MODELS}/*/*.partial/*"), "the download is under way", seconds=1500, variables=upgrade)
    machine.power_cut()
    assert not machine.found(f"{MODELS}/*/*.manifest.json")
    began = time.monotonic()
    done = play(variables=upgrade)
    assert done.status == 0, done.output
    measured("power cut while downloading weights: site.yml", service.answers_since(began))
