# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of GPUs in the kernel's log: recorded lines, hostile ones, and logs that cannot be read."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.gpu_health import kernel_log

DATA = Path(__file__).parent / "data"
XID_79 = "NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def events(*texts: str) -> list[tuple[str, int, str, int]]:
    """Kind, code, address and count of the errors in lines that are a second apart."""
    found = kernel_log.events(enumerate(texts, 1000))
    return [(event["kind"], event["code"], event["bus"], event["count"]) for event in found]


# Lines of NVIDIA's documentation, and recorded ones (leptonai/gpud, components/accelerator/nvidia/xid/kmsg_test.go and sxid/kmsg_test.go).
LINES: dict[str, tuple[tuple[str, ...], list[tuple[str, int, str, int]]]] = {
    "with a process": ((XID_79,), [("xid", 79, "0000:05:00", 1)]),
    "without": (("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",), [("xid", 79, "0000:01:00", 1)]),
    "old form": (("NVRM: Xid (0000:03:00): 14, Channel 00000001",), [("xid", 14, "0000:03:00", 1)]),
    "NVLink 5": (
        ("NVRM: Xid (PCI:0009:01:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 01 (0x021425c6 0x00000000 0x00000000)",), [("xid", 149, "0009:01:00", 1)],
    ),
    "one line, no XID": (("NVRM: GPU 0000:29:00.0: GPU has fallen off the bus.",), [("xid", 79, "0000:29:00", 1)]),
    "three lines, no XID": (
        (
            "NVRM: The NVIDIA GPU 0000:18:00.0", "NVRM: (PCI ID: 10de:2901) installed in this system has",
            "NVRM: fallen off the bus and is not responding to commands.",
        ),
        [("xid", 79, "0000:18:00", 1)],
    ),
    "one loss, two lines": ((XID_79, "NVRM: GPU 0000:05:00.0: GPU has fallen off the bus."), [("xid", 79, "0000:05:00", 1)]),
    "short address": (("NVRM: GPU 18:00.0: GPU has fallen off the bus.",), [("xid", 79, "0000:18:00", 1)]),
    "NVSwitch": (
        (
            "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Fatal, Link 30 LTSSM Fault Up",
            "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Data {0x50610002}",
        ),
        [("sxid", 20034, "0000:a9:00", 1)],
    ),
    "newest first": (
        ("NVRM: Xid (PCI:0000:05:00): 31, pid=7, name=vllm", XID_79, "NVRM: Xid (PCI:0000:05:00): 31, pid=8, name=vllm"),
        [("xid", 31, "0000:05:00", 2), ("xid", 79, "0000:05:00", 1)],
    ),
    "no number": (("NVRM: Xid error: xyz, invalid data", "nvidia-nvswitch0: SXid (PCI:0000:00:00.0): xyz, Fatal error"), []),
    # The name of a process is anybody's choice.
    "a process that lies": (
        ("NVRM: Xid (PCI:0000:05:00): 13, pid=7, name=NVRM: Xid (PCI:0000:06:00): 79, GPU has fallen off the bus",), [("xid", 13, "0000:05:00", 1)],
    ),
    "not the driver": (("program[7]: segfault NVRM: Xid (PCI:0000:05:00): 79, GPU has fallen off the bus",), []),
    "driver loaded since": ((XID_79, "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05"), []),
    "recovered since": (
        (
            "NVRM: Xid (PCI:0000:05:00): 95, Uncontained",
            "NVRM: Xid (PCI:0000:05:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
        ),
        [],
    ),
    "another GPU recovered": (
        (XID_79, "NVRM: Xid (PCI:0000:06:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"), [("xid", 79, "0000:05:00", 1)],
    ),
    "a reset is required now": (
        ("NVRM: Xid (PCI:0019:01:00): 154, GPU recovery action changed from 0x4 (Drain and Reset) to 0x1 (GPU Reset Required)",),
        [("xid", 154, "0019:01:00", 1)],
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_lines(what: str) -> None:
    lines, expected = LINES[what]
    assert events(*lines) == expected


def test_recorded_logs() -> None:
    """Of a program's error, and of a GPU whose system processor does not answer."""
    program = [re.sub(r"^.*?(?=NVRM)", "", line) for line in (DATA / "xid-13.log").read_text().splitlines()]
    assert [event[:3] for event in events(*program)] == [("xid", 43, "0000:38:00"), ("xid", 13, "0000:38:00")]
    silent = [line.partition("] ")[2] for line in (DATA / "xid-119.log").read_text().splitlines()]
    assert events(*silent) == [("xid", 119, "0000:9b:00", 4)]


def test_a_recorded_log_of_programs_errors() -> None:
    """A write to a wrong address, a trap, a misaligned address, on a real GPU: dmesg of the boot, with what else the driver writes there."""
    lines = kernel_log.parse_dmesg((DATA / "xid-31.log").read_text(), 1000.0)
    found = kernel_log.events(lines)
    assert [(event["code"], event["bus"], event["count"]) for event in found] == [(31, "0000:00:06", 2), (13, "0000:00:06", 7), (43, "0000:00:06", 1)]
    assert found[0]["time"] == pytest.approx(1035.17, abs=0.01)


def test_texts_are_short_and_printable() -> None:
    (event,) = kernel_log.events([(1.0, "NVRM: Xid (PCI:0000:05:00): 13, pid=7, name=\x1b[31m" + "x" * 10**6)])
    assert len(event["text"]) < 200 and event["text"].isprintable()


def test_there_is_a_limit() -> None:
    assert len(kernel_log.events((1.0, f"NVRM: Xid (PCI:0000:{number % 256:02x}:00): {number}, x") for number in range(10000))) == kernel_log.MOST_EVENTS


@pytest.mark.parametrize("bus", ["00000000:9B:00.0", "PCI:0000:9b:00".removeprefix("PCI:"), "0000:9b:00.0", "9b:00"])
def test_addresses(bus: str) -> None:
    assert kernel_log.address(bus) == "0000:9b:00"


def test_journal() -> None:
    """A message that is not UTF-8 is a list of bytes, one that is too long is null."""
    entries = [{"__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": message} for message in (XID_79, list(XID_79.encode()), None, 7)]
    text = "\n".join([*map(json.dumps, entries), '{"MESSAGE": "cut off'])
    assert kernel_log.parse_journal(text) == [(1.7e9, XID_79)] * 2


def test_dmesg() -> None:
    assert kernel_log.parse_dmesg(f"[  100.500000] {XID_79}\n<4>[  101.000000] other\nno time\n", 1000.0) == [(1100.5, XID_79), (1101.0, "other")]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the only commands on the path."""
    for name in ("cat", "sleep", "yes"):
        (tmp_path / name).symlink_to(next(path for path in (f"/usr/bin/{name}", f"/bin/{name}") if os.path.exists(path)))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


PLAIN = "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."
ENTRY = json.dumps({"__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": PLAIN})


def test_read_the_journal(commands: Path) -> None:
    command(commands, "journalctl", f"echo '{ENTRY}'")
    found, unread = kernel_log.read()
    assert [event["code"] for event in found] == [79] and unread == ""


def test_a_journal_without_errors(commands: Path) -> None:
    """The search finds nothing, but the journal has the kernel's messages."""
    command(commands, "journalctl", 'case "$*" in *--grep*) exit 1;; *) echo \'{"MESSAGE": "other", "__REALTIME_TIMESTAMP": "1"}\';; esac')
    assert kernel_log.read() == ([], "")


def test_a_journalctl_that_cannot_search(commands: Path) -> None:
    command(commands, "journalctl", f"case \"$*\" in *--grep*) echo 'Compiled without pattern matching support' >&2; exit 1;; *) echo '{ENTRY}';; esac")
    assert [event["code"] for event in kernel_log.read()[0]] == [79]


def test_dmesg_where_the_journal_has_nothing(commands: Path) -> None:
    command(commands, "journalctl", "exit 1")
    command(commands, "dmesg", f'echo "[    1.000000] {XID_79}"')
    found, unread = kernel_log.read()
    assert [event["code"] for event in found] == [79] and unread == ""
    assert found[0]["time"] < time.time()


def test_neither_can_be_read(commands: Path) -> None:
    """As in a container, or as another account than root. It is not taken for a log without errors."""
    command(commands, "journalctl", "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
    command(commands, "dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1")
    found, unread = kernel_log.read()
    assert found == [] and "insufficient permissions" in unread and "Operation not permitted" in unread


def test_neither_is_there(commands: Path) -> None:
    assert kernel_log.read() == ([], "journalctl cannot be started: No such file or directory; dmesg cannot be started: No such file or directory")


def test_a_command_that_hangs(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "SECONDS", 0.3)
    command(commands, "journalctl", "sleep 60")
    command(commands, "dmesg", "sleep 60")
    began = time.monotonic()
    assert "did not end within 0 s" in kernel_log.read()[1]
    assert time.monotonic() - began < 10


def test_endless_output(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "MOST_BYTES", 1000_000)
    command(commands, "journalctl", "exit 1")
    command(commands, "dmesg", f'exec yes "[    1.000000] {PLAIN}"')
    began = time.monotonic()
    found, _unread = kernel_log.read()
    assert found[0]["code"] == 79 and time.monotonic() - began < 10
