# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variable tables in the roles' READMEs say what the argument specs say."""

from __future__ import annotations

import pytest
import role_docs
import role_specs


def test_tables_are_up_to_date() -> None:
    """A difference means: run `make docs` and commit what it wrote."""
    stale = [str(path.relative_to(role_specs.ROOT)) for path in role_docs.differences()]
    assert not stale, f"run `make docs`: {', '.join(stale)}"


@pytest.mark.parametrize(
    ("option", "row"),
    [
        ({"type": "str", "default": "", "description": "A V(x) or O(y)."}, '| `r_a` | str | `""` | A `x` or `y`. |'),
        ({"type": "list", "elements": "int", "required": True, "description": ["One.", "Two."]}, "| `r_a` | list of int | *required* | One. Two. |"),
        ({"type": "str", "choices": ["a", "b"], "default": "a", "description": "P|Q."}, "| `r_a` | str | `a` | P\\|Q. One of `a`, `b`. |"),
    ],
)
def test_row(option: dict[str, object], row: str) -> None:
    """One option becomes one row; Ansible's markup becomes code and no cell breaks the table."""
    assert role_docs.rows({"r_a": option}) == [row]


def test_suboptions_follow_their_option() -> None:
    """Suboptions are named by the path a user would read."""
    nested = {"r_a": {"type": "list", "elements": "dict", "description": "A.", "options": {"b": {"type": "int", "description": "B."}}}}
    assert role_docs.rows(nested)[1] == "| `r_a[].b` | int |  | B. |"
