# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service under test, as tests/run-compatibility.sh names it. Clients read C(OPENAI_BASE_URL) and C(OPENAI_API_KEY) themselves."""

from __future__ import annotations

import os

import pytest

MODEL = os.environ["MODEL"]
RANDOM_WEIGHTS = os.environ.get("RANDOM_WEIGHTS") == "1"


def needs_sense(what: str) -> pytest.MarkDecorator:
    """Lets a test fail with random weights, because it needs a model that does C(what). With real weights it must pass.

    Not strict: the tokens of random weights differ with the number of concurrent requests, and some do by chance what is asked for.
    """
    return pytest.mark.xfail(RANDOM_WEIGHTS, reason=f"random weights do not {what}", strict=False)
