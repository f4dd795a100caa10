# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the README of the role plan and RETURN of its module say of the plan is what its types say."""

from __future__ import annotations

import plan_docs


def test_both_are_up_to_date() -> None:
    """A difference means: run make docs and commit what it wrote."""
    different = [path.name for path, wanted in plan_docs.written().items() if path.read_text(encoding="utf-8") != wanted]
    assert different == []


def test_keys_of_a_class() -> None:
    found = {key.name: key for key in plan_docs.keys(plan_docs.plan_types().HostPlan)}
    assert (found["packages"].kind, found["packages"].elements, found["packages"].holds) == ("list", "str", None)
    assert (found["proxy"].kind, found["proxy"].holds.__name__) == ("dict", "Proxy")
    assert (found["services"].elements, found["services"].holds.__name__) == ("dict", "Service")
