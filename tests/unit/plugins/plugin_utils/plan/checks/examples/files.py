# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that are brought for a service."""

from __future__ import annotations

from example_builders import example, one
from plan_builders import service

FILES = {"chat.jinja": {"source": "/etc/chat.jinja", "sha256": "0" * 64}}

EXAMPLES = [
    example(
        "files-are-used",
        one(service(files=FILES)),
        "for example chat_template: chat.jinja",
        one(service(files=FILES, vllm_args={"chat_template": "chat.jinja"})),
    ),
]
