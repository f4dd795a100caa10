# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service under test, as tests/run-compatibility.sh names it. Clients read C(OPENAI_BASE_URL) and C(OPENAI_API_KEY) themselves."""

from __future__ import annotations

import os

MODEL = os.environ["MODEL"]
