# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""plan_accept: names of checks, and the former names of some."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan import checks
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs import acceptance
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.resolve import Plan
from plan_builders import service

FORMER = {"held-gpus": "gpus-in-use", "open-world": "public-access", "shut-ports": "blocked-ports"}


@pytest.mark.parametrize(("former", "name"), FORMER.items())
def test_a_former_name_is_refused_with_the_current_one(plan: Callable[..., Plan], former: str, name: str) -> None:
    [error] = plan(service(), plan_accept={former: "a reason"}).errors
    assert (error.key, error.why, error.fix) == (f"plan_accept.{former}", "this check was renamed", f"write {name}")
    # The fix leads to an accepted plan.
    assert plan(service(), plan_accept={name: "a reason"}).errors == []


def test_every_renamed_check_exists() -> None:
    assert acceptance.RENAMED == FORMER
    assert set(FORMER.values()) <= {check.accept for check in checks.HOST_CHECKS}
