# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What units get from systemd, and the run of all checks with their time limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils import diagnosis
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import commands, units
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.finding import Unknown, error
from diagnosis_builders import put

START = (
    "{ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 -EsB /opt/inferops/lib/current supervisor single --start-timeout=3600 -- "
    "/opt/inferops/releases/vllm-0.20.1-170296bd/bin/vllm serve /models/x --port=8001 --pipeline-parallel-size=2 --no-async-scheduling "
    "--enable-lora --tool-call-parser=hermes ; ignore_errors=no ; start_time=[n/a] ; pid=7 }"
)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One unit, with a drop-in's environment, the manager's, and a file of secrets."""
    secrets = put(tmp_path, "q.env", '# Managed\nVLLM_API_KEY=own-key-of-the-file\nhttp_proxy="http://of.the.file:1"\n')
    shown = (
        f"Id=vllm-q.service\nActiveState=active\nEnvironment=A=1 \"B=two words\" http_proxy=http://of.the.unit:1\n"
        f"EnvironmentFiles={secrets} (ignore_errors=no)\nExecStart={START}\n"
    )
    monkeypatch.setattr(units._host, "read_services", lambda: [{"unit": "vllm-q.service", "service": "q", "port": 8001, "gpus": [0]}])
    monkeypatch.setattr(units, "output", lambda *command: "http_proxy=http://of.the.manager:1\nLANG=C\n" if command[1] == "show-environment" else shown)
    return tmp_path


def test_a_unit(systemd: Path) -> None:
    """The file overrides the unit, which overrides the manager (systemd.exec(5))."""
    (unit,) = units.read()
    assert unit.environment == {"LANG": "C", "A": "1", "B": "two words", "http_proxy": "http://of.the.file:1", "VLLM_API_KEY": "own-key-of-the-file"}
    assert unit.release() == ("/opt/inferops/releases/vllm-0.20.1-170296bd", "vllm", "0.20.1") and unit.stem == "vllm-q"
    assert unit.flags() == {
        "port": 8001, "pipeline_parallel_size": 2, "async_scheduling": False, "enable_lora": True, "tool_call_parser": "hermes",
    }


def test_a_host_without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units._host, "read_services", lambda: [])
    assert units.read() == []


def test_running_shows_no_text(systemd: Path) -> None:
    assert diagnosis.running(units.read()[0])["arguments"] == {
        "port": 8001, "pipeline_parallel_size": 2, "async_scheduling": False, "enable_lora": True,
    }


def hangs(_context: Context) -> Iterator[Any]:
    time.sleep(60)
    yield error("never", "", "")


def finds(_context: Context) -> Iterator[Any]:
    yield error("found", "a cause with \x1b[31mcolours\nand lines, https://user:s3cr3t@x.example/", "a command")
    yield error("quotes", "the key own-key-of-the-file is wrong", "a command")
    yield Unknown("a file", "no permission, says own-key-of-the-file")
    raise commands.Unread("a tool is missing")


def breaks(_context: Context) -> Iterator[Any]:
    yield from ()
    raise ValueError("odd")


def test_a_check_that_hangs_or_breaks_stops_no_other(systemd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finds.__module__ = "x.finding"
    monkeypatch.setattr(diagnosis, "CHECKS", {"hangs": hangs, "breaks": breaks, "finds": finds})
    began = time.monotonic()
    found = diagnosis.run(Context(), 1)
    assert time.monotonic() - began < 10
    one, quoting = found["findings"]
    assert quoting["cause"] == "the key (hidden) is wrong"
    assert one["check"] == "found" and one["service"] is None and "s3cr3t" not in one["cause"] and one["cause"].isprintable()
    assert found["unknown"] == {
        "hangs": "it did not answer within 1 s", "breaks": "ValueError: odd", "a file": "no permission, says (hidden)", "finding": "a tool is missing",
    }
    assert found["running"][0]["unit"] == "vllm-q.service"


@pytest.mark.parametrize(("command", "reason"), [
    (("no-such-command",), "no-such-command is not installed"),
    (("sh", "-c", "echo no; echo why >&2; exit 3"), "sh failed with status 3: why"),
    (("sleep", "9"), "sleep did not answer within 0.5 s"),
])
def test_commands_that_fail(command: tuple[str, ...], reason: str) -> None:
    with pytest.raises(commands.Unread, match=reason):
        commands.output(*command, seconds=0.5)
    assert commands.output("cat", given="x") == "x"
