# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plugin of pytest that tries mutants in forks of a session that has collected its tests: a mutant then costs its tests, and no imports.

In the fork the mutated functions get the code that they have in the mutated file. A mutant outside of functions (a constant, a decorator, a class) is
left to a process that imports the mutated file: C(sample.py). The tests that call a mutated function run, the quickest first; one run at the beginning,
also in a fork, finds out which call what. Then come the other tests beside the file: what a cache keeps is called by the first test that asks for it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

_PREFIX = "ansible_collections.inferops.gpu."


def _functions(code: CodeType) -> dict[str, CodeType]:
    """Code of the functions of a compiled file by qualified name; lambdas and comprehensions are part of what contains them."""
    found: dict[str, CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not constant.co_name.startswith("<"):
            found[constant.co_qualname] = constant
            found.update(_functions(constant))
    return found


def _outside(code: CodeType) -> Any:
    """What a file does outside of its functions, to compare it."""
    constants = [_outside(one) if isinstance(one, CodeType) and one.co_name.startswith("<") else one.co_qualname if isinstance(one, CodeType) else repr(one)
                 for one in code.co_consts]
    return code.co_code, code.co_names, constants


def changed(module: str, source: str, mutated: str) -> dict[str, CodeType]:
    """The new code of the functions that a mutant changes, by their names; of a function in a function the outer one. Empty if it changes more than functions."""
    before, after = compile(source, module, "exec"), compile(mutated, module, "exec")
    old, new = _functions(before), _functions(after)
    if _outside(before) != _outside(after) or set(old) != set(new):
        return {}
    names = {name for name in new if _outside(new[name]) != _outside(old[name]) or new[name].co_code != old[name].co_code}
    # The outer one makes the inner one, from its own constants.
    return {name: new[name] for name in (name.split(".<locals>")[0] for name in names)}


def replace(module: str, new: dict[str, CodeType]) -> bool:
    """Gives functions of an imported module another code; false if one of them is not there now."""
    wanted, done = set(new), set[str]()
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__module__ == module and function.__qualname__ in wanted:
            if len(new[function.__qualname__].co_freevars) != len(function.__code__.co_freevars):
                return False
            function.__code__ = new[function.__qualname__]
            done.add(function.__qualname__)
    return done == wanted and bool(wanted)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Reads mutants from the file descriptor MUTANTS, a line each, and answers on ANSWERS: V(test), V(time), V(import) or empty."""
    answers = os.fdopen(int(os.environ["ANSWERS"]), "w", buffering=1)
    reached = _reached(session)
    for line in os.fdopen(int(os.environ["MUTANTS"])):
        request = json.loads(line)
        module = _PREFIX + request["file"].removesuffix(".py").replace("/", ".")
        importlib.import_module(module)
        new = changed(module, request["source"], request["mutated"])
        first = [(seconds, index) for seconds, index, names in reached if any(f"{request['file']}:{name}" in names for name in new)]
        beside = [(seconds, index) for seconds, index, _names in reached if session.items[index].location[0].startswith(request["beside"])]
        order = list(dict.fromkeys(index for _seconds, index in [*first, *beside]))
        # It hangs, if it takes much longer than the tests alone.
        limit = 20 + 5 * sum(seconds for seconds, index, _names in reached if index in order)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.setsid()
            status = 3
            try:
                if replace(module, new):
                    session.shouldfail = session.shouldstop = False
                    session.config.option.maxfail = 1
                    _run(session, order)
                    status = 1 if session.testsfailed else 0
            except BaseException:  # noqa: BLE001
                # session.Failed, after the first failure, or an exception that a mutant let out.
                status = 1
            finally:
                os._exit(status)
        answers.write(json.dumps(_wait(child, limit)) + "\n")
    return True


def _run(session: pytest.Session, order: list[int]) -> None:
    items = [session.items[index] for index in order]
    for item, after in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return


def _reached(session: pytest.Session) -> list[tuple[float, int, set[str]]]:
    """Of each test its seconds, its index, and the functions of plugins that it calls, as C(FILE:NAME); the quickest first."""
    incoming, outgoing = os.pipe()
    sys.stdout.flush()
    if os.fork() == 0:
        found = []
        for index, item in enumerate(session.items):
            names: set[str] = set()

            def trace(frame: FrameType, _event: str, _argument: Any, names: set[str] = names) -> None:
                file = frame.f_code.co_filename.rpartition("/inferops/gpu/")[2]
                if file.startswith("plugins/"):
                    names.add(f"{file}:{frame.f_code.co_qualname.split('.<locals>')[0]}")

            began = time.perf_counter()
            sys.settrace(trace)
            threading.settrace(trace)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=session.items[index + 1] if index + 1 < len(session.items) else None)
            sys.settrace(None)
            found.append((time.perf_counter() - began, index, sorted(names)))
        with os.fdopen(outgoing, "w") as pipe:
            json.dump([] if session.testsfailed else found, pipe)
        os._exit(0)
    os.close(outgoing)
    with os.fdopen(incoming) as pipe:
        found = json.load(pipe)
    os.wait()
    if not found:
        pytest.exit("tests fail without a mutant as well", 1)
    return [(seconds, index, set(names)) for seconds, index, names in sorted(found)]


def _wait(child: int, limit: float) -> str:
    """How the fork ended."""
    descriptor = os.pidfd_open(child)
    try:
        late = not select.select([descriptor], [], [], limit)[0]
        if late:
            os.killpg(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(descriptor)
    return "time" if late else {0: "", 3: "import"}.get(status, "test")
