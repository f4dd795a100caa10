# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plugin of pytest that tries mutants in forks of a session that has collected its tests: a mutant then costs its tests, and no imports.

In the fork the mutated functions get the code that they have in the mutated file. A mutant outside of functions (a constant, a decorator, a class) is
left to a process that imports the mutated file: C(sample.py).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
from types import CodeType, FunctionType
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


def replace(module: str, source: str, mutated: str) -> bool:
    """Gives the functions of an imported module their code in the mutated source; false if the mutant is outside of functions that there are now."""
    before, after = compile(source, module, "exec"), compile(mutated, module, "exec")
    if _outside(before) != _outside(after):
        return False
    old, new = _functions(before), _functions(after)
    if set(old) != set(new):
        return False
    changed = {name for name in new if _outside(new[name]) != _outside(old[name]) or new[name].co_code != old[name].co_code}
    # Of a function in a function the outer one makes the inner one, from its own constants.
    wanted = {name.split(".<locals>")[0] for name in changed}
    done: set[str] = set()
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
    limit = float(os.environ["SECONDS_EACH"])
    answers = os.fdopen(int(os.environ["ANSWERS"]), "w", buffering=1)
    for line in os.fdopen(int(os.environ["MUTANTS"])):
        request = json.loads(line)
        module = _PREFIX + request["file"].removesuffix(".py").replace("/", ".")
        importlib.import_module(module)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.setsid()
            status = 3
            try:
                if replace(module, request["source"], request["mutated"]):
                    session.shouldfail = session.shouldstop = False
                    session.config.option.maxfail = 1
                    _run(session)
                    status = 1 if session.testsfailed else 0
            except BaseException:  # noqa: BLE001
                # session.Failed, after the first failure, or an exception that a mutant let out.
                status = 1
            finally:
                os._exit(status)
        answers.write(json.dumps(_wait(child, limit)) + "\n")
    return True


def _run(session: pytest.Session) -> None:
    for index, item in enumerate(session.items):
        after = session.items[index + 1] if index + 1 < len(session.items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return


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
