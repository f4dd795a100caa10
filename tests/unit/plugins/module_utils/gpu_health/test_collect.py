# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The findings of a host, with the commands that it reads from replaced by scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import collect

DATA = Path(__file__).parent / "data"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder on the path, with a journal without errors."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    command(tmp_path, "journalctl", """case "$*" in *--grep*) exit 1;; *) echo '{"MESSAGE": "other", "__REALTIME_TIMESTAMP": "1"}';; esac""")
    return tmp_path


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def names(error: str = "") -> list[tuple[str, str]]:
    return [(one["name"], one["level"]) for one in collect.read(error, [], {}, 0)]


def test_a_healthy_gpu(commands: Path) -> None:
    command(commands, "nvidia-smi", f"cat {DATA}/rtx-4000-ada.xml")
    assert names() == []


def test_a_sick_gpu_with_its_xid(commands: Path) -> None:
    command(commands, "nvidia-smi", f"cat {DATA}/a800-reset.xml")
    command(commands, "journalctl", """echo '{"MESSAGE": "NVRM: Xid (PCI:0000:52:00): 95, Uncontained", "__REALTIME_TIMESTAMP": "1700000000000000"}'""")
    found = collect.read("", [], {}, 0)
    assert [(one["name"], one["level"]) for one in found] == [("gpu-recovery", "error"), ("gpu-xid", "warning")]
    assert "XID 95 (memory error that was not contained) at 2023-11-14 22:13:20 UTC" in found[0]["cause"]


def test_links_are_read_where_there_are_several_gpus(commands: Path) -> None:
    gpus = "".join(f'<gpu id="00000000:0{index}:00.0"><product_name>V100</product_name></gpu>' for index in range(4))
    command(commands, "nvidia-smi", f"case \"$*\" in *nvlink*) cat {DATA}/v100.nvlink;; *) echo '<nvidia_smi_log>{gpus}</nvidia_smi_log>';; esac")
    assert names() == [("gpu-nvlink", "warning")]


def test_nvidia_smi_is_not_asked_again_when_it_fails(commands: Path) -> None:
    command(commands, "nvidia-smi", f"touch {commands}/asked")
    assert names("nvidia-smi failed with status 18: Failed to initialize NVML: Driver/library version mismatch") == [("gpu-driver", "error")]
    assert not (commands / "asked").exists()


@pytest.mark.parametrize("script", ["echo nonsense", "exit 3"])
def test_nonsense_is_said(commands: Path, script: str) -> None:
    command(commands, "nvidia-smi", script)
    assert names() == [("gpu-health", "warning")]


def test_an_unreadable_log_is_said(commands: Path) -> None:
    command(commands, "nvidia-smi", f"cat {DATA}/rtx-4000-ada.xml")
    command(commands, "journalctl", "exit 1")
    command(commands, "dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1")
    assert names() == [("gpu-health", "warning")]


def test_a_reading_that_hangs_or_fails_is_a_finding(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts are read all the same."""
    command(commands, "nvidia-smi", f"cat {DATA}/a800-reset.xml")
    assert [one["name"] for one in collect.read_within("", [], {}, 0)] == ["gpu-recovery"]
    command(commands, "nvidia-smi", "exec sleep 3")
    (late,) = collect.read_within("", [], {}, 0, 0.5)
    assert (late["name"], late["level"]) == ("gpu-health", "warning") and "did not answer within 0.5 s" in late["cause"]
    command(commands, "nvidia-smi", f"cat {DATA}/a800-reset.xml")
    monkeypatch.setattr(collect.verdict, "of_gpus", lambda *_arguments: 1 / 0)
    (failed,) = collect.read_within("", [], {}, 0)
    assert "ZeroDivisionError" in failed["cause"]
