# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The driver's parts: the version of its library, and packages that an unattended upgrade may change."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import _host
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import driver

# Of Ubuntu with its own driver, of NVIDIA's repository, of Debian; and packages that are not the driver's.
DRIVER = (
    "nvidia-driver-580-server-open", "nvidia-dkms-580-open", "nvidia-kernel-common-580", "nvidia-utils-580", "nvidia-compute-utils-580", "nvidia-open-580",
    "libnvidia-compute-580", "libnvidia-cfg1-580", "nvidia-fabricmanager-580", "nvidia-persistenced", "cuda-drivers-580",
    "linux-modules-nvidia-580-open-generic",
    "nvidia-smi", "nvidia-alternative", "nvidia-headless-580",
)
OTHERS = (
    "nvidia-container-toolkit", "libnvidia-container1", "libnvidia-container-tools", "cuda-toolkit-13-0", "cuda-nvcc-13-0", "nvidia-cuda-toolkit",
    "nvidia-settings",
)


@pytest.mark.parametrize("name", [*DRIVER, *OTHERS])
def test_packages_of_the_driver(name: str) -> None:
    assert driver.unheld({name: {"version": "1", "held": False}}) == ([name] if name in DRIVER else [])
    assert driver.unheld({name: {"version": "1", "held": True}}) == []


ON = 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'
SETTINGS = {
    "on": (ON, "loaded", True),
    "off": (ON.replace('Upgrade "1"', 'Upgrade "0"'), "loaded", False),
    "all of it off": (ON + 'APT::Periodic::Enable "0";\n', "loaded", False),
    "not configured": ("", "loaded", False), "masked": (ON, "masked", False), "every week": (ON.replace('Upgrade "1"', 'Upgrade "7d"'), "", True),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_unattended_upgrades(what: str) -> None:
    settings, timer, expected = SETTINGS[what]
    assert driver.upgrades_are_enabled(settings, timer) is expected


PACKAGES = {"libnvidia-compute-580": {"version": "1", "held": False}, "nvidia-driver-580": {"version": "1", "held": True}}
BLACKLISTS = {
    "none": ("", ["libnvidia-compute-580"]),
    "the driver": ('Unattended-Upgrade::Package-Blacklist "";\nUnattended-Upgrade::Package-Blacklist:: "libnvidia";\n', []),
    "another": ('Unattended-Upgrade::Package-Blacklist:: "linux-";\n', ["libnvidia-compute-580"]),
    "not a pattern": ('Unattended-Upgrade::Package-Blacklist:: "(";\n', ["libnvidia-compute-580"]),
}


@pytest.mark.parametrize("what", BLACKLISTS)
def test_upgradable(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    blacklist, expected = BLACKLISTS[what]
    monkeypatch.setattr(driver.os.path, "exists", lambda path: path == "/usr/bin/unattended-upgrade")
    monkeypatch.setattr(_host, "run", lambda *command: ON + blacklist if command[0] == "apt-config" else "loaded\n")
    assert driver.upgradable(PACKAGES) == expected


def test_a_host_without_unattended_upgrades_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.os.path, "exists", lambda path: False)
    monkeypatch.setattr(_host, "run", lambda *command: pytest.fail(str(command)))
    assert driver.upgradable(PACKAGES) == []


def test_the_library(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.580.95.05").write_text("")
    (tmp_path / "libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.580.95.05")
    assert driver.library_version([str(tmp_path / "none"), str(tmp_path)]) == "580.95.05"
    assert driver.library_version([str(tmp_path / "none")]) == ""


def test_what_waits_for_a_reboot(tmp_path: Path) -> None:
    (tmp_path / "pkgs").write_text("linux-image-6.8.0\nlibnvidia-compute-580\nlibc6\nlibnvidia-compute-580\n")
    assert driver.reboot_reason(str(tmp_path / "pkgs")) == ["libnvidia-compute-580"]
    assert driver.reboot_reason(str(tmp_path / "none")) == []
