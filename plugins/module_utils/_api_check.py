# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send each service a real request: M(inferops.gpu.api_check), on a host and on the controller."""

from __future__ import annotations

import concurrent.futures
import typing as t

from . import _journal, _masking, _openai_api, _systemd, _task_checks
from ._service_options import API, services

OPTIONS: dict[str, t.Any] = {
    "services": services(API, {
        "task": {"type": "str", "choices": [_task_checks.AUTO, *_task_checks.TASKS], "default": _task_checks.AUTO},
        "thinking": {"type": "str", "choices": ["never", "hybrid", "always", "unknown"], "default": "unknown"},
        "thinking_switch": {"type": "str", "default": "enable_thinking"},
        "certificate_name": {"type": "str"},
        "verify_certificate": {"type": "bool", "default": True},
        "authorities": {"type": "path"},
        "unit": {"type": "str"},
        "adapters": {"type": "list", "elements": "str", "default": []},
    }),
    "prompt": {"type": "str", "default": "Say one word."},
    # Counts tokens of a text, not credentials.
    "max_tokens": {"type": "int", "default": 16, "no_log": False},
    "timeout": {"type": "int", "default": 120},
    "fail": {"type": "bool", "default": True},
}

# How many lines of a service's journal are searched, and how many of them are shown.
JOURNAL_LINES = 300
SHOWN_LINES = 20


def check(parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Check all services in parallel. Returns the module's result, with C(failed) and C(msg) when it has to fail."""
    asked = parameters["services"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        results = list(pool.map(lambda service: ask(service, parameters), asked))
    answers = {service["name"]: result for service, result in zip(asked, results) if "error" not in result}
    errors = {service["name"]: result["error"] for service, result in zip(asked, results) if "error" in result}
    found = {"changed": False, "answers": answers, "errors": errors}
    return {**found, "failed": True, "msg": "\n".join(errors.values())} if errors and parameters["fail"] else found


def ask(service: t.Mapping[str, t.Any], parameters: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the answer of one service, or an error with the end of its journal."""
    thinking = "" if service["thinking"] == "unknown" else service["thinking"]
    question = _task_checks.Question(service["model"], thinking, service["thinking_switch"] or "", parameters["prompt"], parameters["max_tokens"])
    trust = _openai_api.Trust(service["verify_certificate"], service["certificate_name"] or "", service["authorities"] or "")
    try:
        api = _openai_api.Api(service["url"], service["api_key"] or "", parameters["timeout"], trust)
        return _task_checks.verify(api, service["task"], question, service["adapters"])
    except _openai_api.ApiError as error:
        lines = _journal.excerpt(_systemd.journal(service["unit"], "", JOURNAL_LINES), SHOWN_LINES) if service["unit"] else []
        tail = f"\nFrom its journal (journalctl -u {service['unit']}):\n" + "\n".join(f"  {line}" for line in lines) if lines else ""
        said = f"Service {service['name']} at {service['url']} does not serve: {error}{tail}"
        return {"error": _masking.masked(said, service["api_key"])}
