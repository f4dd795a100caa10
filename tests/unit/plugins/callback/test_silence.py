# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No run is silent for a minute, and none floods its log: lines of what is followed, and the heartbeat of what says nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.action.follow_unit import LINE_SECONDS, LOOK_SECONDS, lines_of
from ansible_collections.inferops.gpu.plugins.callback import heartbeat

SLACK = LOOK_SECONDS


def lines(hosts: list[str], seconds: float) -> list[tuple[float, str]]:
    """When each host prints a line, in seconds, for hosts that begin at once and look again every few seconds."""
    found = []
    for host in hosts:
        next_line, due, now = lines_of(host, hosts), 0.0, 0.0
        while now < seconds:
            if now >= due:
                found.append((now, host))
                due = next_line(now)
            now += LOOK_SECONDS
    return sorted(found)


def test_one_host_says_something_every_half_minute() -> None:
    assert [when for when, _host in lines(["a"], 200)] == [0, 30, 60, 90, 120, 150, 180]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 20, 200])
def test_many_hosts_take_turns(count: int) -> None:
    """Never a minute without a line, nor more than six a minute once all have said a first one; each host gets its turn."""
    hosts = [f"gpu{number}" for number in range(count)]
    found = lines(hosts, 3 * max(LINE_SECONDS, 10 * count))
    later = sorted(when for when, _host in found if when > 0)
    gaps = [after - before for before, after in zip([0, *later], later)]
    assert max(gaps) <= LINE_SECONDS + LINE_SECONDS / 3 + SLACK, gaps
    assert len(later) <= 6 * (later[-1] / 60) + count / 6 + 2
    assert {host for when, host in found if when > 0} == set(hosts)


def test_a_host_that_is_not_of_the_batch() -> None:
    assert lines_of("localhost", ["a", "b"])(0) == LINE_SECONDS


def test_a_slow_look_leaves_lines_out() -> None:
    """A lost connection may take minutes: what was missed is not made up for, nor does a line come right after another."""
    assert lines_of("a", ["a"])(190) == 210
    assert lines_of("a", ["a"])(200) == 240


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> heartbeat.CallbackModule:
    """The callback at second 0, with its default."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock.now)
    callback = heartbeat.CallbackModule()
    callback.get_option = {"seconds": 45}.__getitem__
    callback.clock = clock
    return callback


def task(name: str = "Install packages", action: str = "ansible.builtin.apt") -> Any:
    return SimpleNamespace(get_name=lambda: name, action=action, resolved_action=action)


def host(name: str) -> Any:
    return SimpleNamespace(get_name=lambda: name)


def test_nothing_is_said_before_the_first_task(watch: heartbeat.CallbackModule) -> None:
    assert watch.line(1000.0) == ""


def test_a_task_that_is_silent_is_named_with_its_hosts(watch: heartbeat.CallbackModule) -> None:
    watch.v2_playbook_on_task_start(task(), False)
    for name in ("gpu1", "gpu2"):
        watch.v2_runner_on_start(host(name), task())
    assert watch.line(44.0) == ""
    assert watch.line(45.0) == "  still at: Install packages (gpu1, gpu2: 45 s)"
    assert watch.line(46.0) == ""
    watch.clock.now = 60.0
    watch.v2_runner_on_ok(SimpleNamespace(host=host("gpu1")))
    assert watch.line(91.0) == ""
    assert watch.line(105.0) == "  still at: Install packages (gpu2: 105 s)"
    watch.clock.now = 106.0
    watch.v2_playbook_on_task_start(task("Next"), False)
    assert watch.line(150.0) == ""
    assert watch.line(151.0) == "  still at: Next (45 s)"


def test_items_are_signs_of_life(watch: heartbeat.CallbackModule) -> None:
    watch.v2_playbook_on_task_start(task(), False)
    watch.v2_runner_on_start(host("gpu1"), task())
    watch.clock.now = 40.0
    watch.v2_runner_item_on_ok(SimpleNamespace(host=host("gpu1")))
    assert watch.line(84.0) == ""
    assert watch.line(85.0) == "  still at: Install packages (gpu1: 85 s)"


def test_a_line_names_few_hosts(watch: heartbeat.CallbackModule) -> None:
    watch.v2_playbook_on_task_start(task(), False)
    for number in range(5):
        watch.v2_runner_on_start(host(f"gpu{number}"), task())
    assert watch.line(50.0) == "  still at: Install packages (gpu0, gpu1, gpu2 and 2 more: 50 s)"


@pytest.mark.parametrize("action", ["follow_unit", "follow_units"])
@pytest.mark.parametrize(("hosts", "expected"), [(3, ""), (4, "  still at: Follow (gpu3: 100 s)")])
def test_what_talks_by_itself_is_left_alone_while_each_host_does(watch: heartbeat.CallbackModule, hosts: int, expected: str, action: str) -> None:
    """Of many hosts that take turns those that are left may have none for long."""
    follow = task("Follow", f"inferops.gpu.{action}")
    watch.v2_playbook_on_task_start(follow, False)
    for number in range(hosts):
        watch.v2_runner_on_start(host(f"gpu{number}"), follow)
    for number in range(hosts - 1):
        watch.v2_runner_on_ok(SimpleNamespace(host=host(f"gpu{number}")))
    assert watch.line(100.0) == expected
