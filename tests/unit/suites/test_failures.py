# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tests/tools/failures.py: what of a suite's output is repeated at the end of all output."""

from __future__ import annotations

import failures

TESTS = """\
INFO     Executing Testinfra tests
..F.
=================================== FAILURES ===================================
_______________________________ test_of_a_thing ________________________________
{source}
>       assert 2 <= 1
E       assert 2 <= 1

../../tests/lab/thing/test_1.py:29: AssertionError
=========================== short test summary info ============================
FAILED ../../tests/lab/thing/test_1.py::test_of_a_thing - assert 2 <= 1
1 failed, 3 passed in 4.55s
PLAY [Remove the lab] **********************************************************
changed: [lab-gpu1]
"""
TASK = """\
TASK [A step] ******************************************************************
fatal: [lab-gpu2]: FAILED! => {"msg": "one that was rescued"}

TASK [Another step] ************************************************************
fatal: [lab-gpu1]: FAILED! =>
    msg: |-
        Service pair failed the health gate.
          Start of pair failed.

PLAY RECAP *********************************************************************
lab-gpu1                   : ok=3    changed=3    unreachable=0    failed=1
"""


def found(text: str) -> list[str]:
    return failures.excerpts(text.splitlines())


def test_a_test_with_its_assertion_and_its_name() -> None:
    """However long the source before the assertion, and nothing of the lab's removal for long."""
    for length in (3, 300):
        said = found(TESTS.format(source="\n".join(f"    line {number}" for number in range(length))))
        assert "E       assert 2 <= 1" in said and any(line.startswith("FAILED ../../tests/lab/thing/test_1.py::test_of_a_thing") for line in said)
        assert len(said) <= failures.TEST_LINES + 5


def test_every_test() -> None:
    """Each with its own assertion, without the output that was captured."""
    parts = [f"____ test_{name} ____\n" + "line\n" * 200 + f"E   assert {name}\n---- Captured log ----\n" + "noise\n" * 99 for name in ("one", "two", "three")]
    said = found("==== FAILURES ====\n" + "".join(parts) + "==== slowest 15 durations ====\n9 s\n==== short test summary info ====\nFAILED a\nFAILED b\n")
    assert [line for line in said if line.startswith(("E ", "____"))] == [
        "____ test_one ____", "E   assert one", "____ test_two ____", "E   assert two", "____ test_three ____", "E   assert three",
    ]
    assert said[-2:] == ["FAILED a", "FAILED b"] and "noise" not in said and "9 s" not in said


def test_a_task_with_its_message() -> None:
    """All that failed, the last one whole; neither the recap nor tasks that passed."""
    said = found("ok: [lab-gpu1]\n" * 200 + TASK)
    assert "          Start of pair failed." in said
    assert not [line for line in said if line.startswith(("ok:", "PLAY", "TASK"))]


def test_a_task_that_failed_on_many_hosts() -> None:
    """The last ones count."""
    said = found("".join(f"fatal: [lab-gpu{number}]: FAILED! => no\n" for number in range(500)))
    assert len(said) == failures.LINES and said[-1].startswith("fatal: [lab-gpu499]")


def test_what_is_not_recognised() -> None:
    """Lines of errors; else the end."""
    assert found("ok\nERROR: it broke\nok\n-- yamllint: FAILED after 3 s\n") == ["ERROR: it broke", "-- yamllint: FAILED after 3 s"]
    assert found("\n".join(map(str, range(100))))[-1] == "99"
    assert found("") == []


def test_long_lines_are_cut(capsys, monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """One line of JSON does not hide the others."""
    log = tmp_path / "log"
    log.write_bytes(b"fatal: [a]: " + b"x" * 100_000 + b"\xff\n")
    monkeypatch.setattr("sys.argv", ["failures.py", str(log)])
    failures.main()
    assert len(capsys.readouterr().out) == failures.LONGEST_LINE + 1
