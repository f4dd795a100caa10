# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Command lines of the plan, checked with the parser of the release on the host: the whole catalogue, and generated services that the plan accepts."""

from __future__ import annotations

import parsing
import planned
from lab import SSH_CONFIG
from testinfra.host import Host

GENERATED = 200


def test_real_parser_takes_what_the_plan_renders(host: Host, addresses: dict[str, str]) -> None:
    """Every entry with each of its profiles for one host and each preset, and some hundred services with arguments of every type."""
    planner = planned.Planner()
    catalogue = {**planned.whole_catalogue(planner), **planned.multi_node_lines(planner)}
    assert len(catalogue) > 500
    generated = planned.accepted_services(planner, GENERATED)
    assert len(generated) == GENERATED
    python = host.check_output("ls -d /opt/inferops/releases/vllm-*/bin/python | head -1")
    remote = f"sudo -u inferops-qwen3-235b env HOME=/var/cache/inferops/qwen3-235b {python} -"
    refused = parsing.errors(["ssh", "-F", SSH_CONFIG, next(iter(addresses)), remote], {**catalogue, **generated})
    assert not refused, "\n".join(f"{label}: {error}" for label, error in refused.items())
