# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The play killed in the middle of the download, and of the install; then the machine's own processes as well.

The tests run in this order on a bare host and leave half a job behind. That `converge` makes it whole, and that what then
runs is complete, is for the steps after them to show.
"""

from __future__ import annotations

from collections.abc import Callable

from testinfra.host import Host

DOWNLOAD = "inferops-weights-*.service"
BUILD = "inferops-release-*.service"
RELEASES = "/opt/inferops/releases"
MODELS = "/var/lib/inferops/models"


def running(host: Host, units: str) -> list[str]:
    """Names of the units that match O(units) and are at work."""
    lines = host.run("systemctl list-units --plain --no-legend --state=active,activating %s", units).stdout.splitlines()
    return [line.split()[0] for line in lines]


def pull_the_plug(host: Host, units: str) -> None:
    """Kills units the way a power cut would: at once, all processes, and nobody to start them again."""
    for unit in running(host, units):
        host.run_expect([0], "systemctl kill --signal=SIGKILL %s && systemctl stop %s", unit, unit)


def found(host: Host, pattern: str) -> list[str]:
    """Paths that match a shell pattern."""
    return host.run(f"ls -d {pattern} 2>/dev/null").stdout.split()


def test_killed_while_downloading(host: Host, killed_play: Callable[..., str], slow_mirror: None) -> None:
    """The download outlives the play; cut off itself, it shows neither weights nor a manifest."""
    killed_play(lambda: found(host, f"{MODELS}/*/*.partial/*"), "the download is under way")
    assert running(host, DOWNLOAD), "the download ended with the play"
    pull_the_plug(host, DOWNLOAD)
    assert found(host, f"{MODELS}/*/*.partial"), "nothing of the download is left to go on with"
    assert not found(host, f"{MODELS}/*/*.manifest.json"), "a manifest of half a download"
    pull_the_plug(host, BUILD)


def test_killed_while_installing(host: Host, killed_play: Callable[..., str]) -> None:
    """Half an environment does not bear a release's name."""
    killed_play(lambda: found(host, f"{RELEASES}/.building-*/bin/python"), "the install is under way")
    pull_the_plug(host, BUILD)
    assert found(host, f"{RELEASES}/.building-*"), "the install was over before it could be cut off"
    assert not found(host, f"{RELEASES}/vllm-*"), "half a release under its final name"


def test_killed_while_the_build_goes_on(host: Host, killed_play: Callable[..., str]) -> None:
    """A lost terminal: the build goes on without the play, for the next run to join."""
    killed_play(lambda: found(host, f"{RELEASES}/.building-*/requirements.lock"), "the install is under way again")
    assert running(host, BUILD), "the build ended with the play"


def test_nothing_serves_yet(host: Host) -> None:
    """No service was started on half of what it needs."""
    assert running(host, "vllm-*.service") == []
