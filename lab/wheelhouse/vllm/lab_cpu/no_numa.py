# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vLLM's CPU build on a kernel without NUMA (User Mode Linux), which reports no memory nodes at all."""

from __future__ import annotations

from vllm.utils import cpu_resource_utils


def patch() -> None:
    """Let vLLM find the one node that such a machine is: it takes the first of the nodes in /proc/self/status, which has none (vLLM 0.32)."""
    cpu_resource_utils.get_memory_affinity = lambda pid=0: [0]
