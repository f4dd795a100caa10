# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of metrics in docs/monitoring.md is that of the collector."""

from __future__ import annotations

import metrics_docs


def test_the_table_is_up_to_date() -> None:
    text = metrics_docs.PAGE.read_text(encoding="utf-8")
    assert metrics_docs.page(text) == text, "run make docs"
    assert "| `inferops_service_state` | `service`, `unit`, `state` |" in text
