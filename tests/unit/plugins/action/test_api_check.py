# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where services are asked from: in the process of the task on the controller, and by the module everywhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.inferops.gpu.plugins.action import api_check

# Nothing listens on port 1.
SERVICE = {"name": "q", "url": "http://127.0.0.1:1", "model": "q", "api_key": "s3cr3t"}


class Asked(api_check.ActionModule):
    """The action over a connection; what it would run on a host is its result."""

    def __init__(self, transport: str, become: bool, **arguments: Any) -> None:
        self._connection = SimpleNamespace(transport=transport)
        self._play_context = SimpleNamespace(become=become)
        self._task = SimpleNamespace(args={"services": [SERVICE], **arguments})

    def _execute_module(self, **arguments: Any) -> dict[str, Any]:
        return {"module": arguments["module_args"]}


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_check.ActionModule.__mro__[1], "run", lambda self, tmp, task_vars: {})


@pytest.mark.parametrize("become", [False, True])
@pytest.mark.parametrize("transport", ["ssh", "local"])
def test_only_the_controller_itself_asks_in_process(transport: str, become: bool) -> None:
    found = Asked(transport, become, fail=False).run()
    assert ("module" in found) == (transport == "ssh" or become)


def test_it_fails_as_the_module_does() -> None:
    found = Asked("local", False).run()
    assert found["failed"] and found["changed"] is False and found["msg"].startswith("Service q at http://127.0.0.1:1 does not serve: ")
    assert "s3cr3t" not in str(found)


def test_without_fail_errors_tell_of_it() -> None:
    found = Asked("local", False, fail=False, timeout=1).run()
    assert "failed" not in found and list(found["errors"]) == ["q"] and found["answers"] == {}
