# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Version numbers: read, ordered, and refused."""

from __future__ import annotations

import pytest

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.versions import parse

ASCENDING = ["0.8.5", "0.9.1", "0.10.0", "0.10.1.1", "0.10.2", "0.32.0.dev1", "0.32.0rc1.dev245", "0.32.0rc1", "0.32.0rc2", "0.32.0", "0.32.0.post1", "0.32.1", "1.0"]


@pytest.mark.parametrize(("lower", "higher"), list(zip(ASCENDING, ASCENDING[1:])))
def test_order(lower: str, higher: str) -> None:
    """Numbers count as numbers, previews come before and patches after what they are of."""
    first, second = parse(lower), parse(higher)
    assert first is not None and second is not None
    assert first < second and second > first and first != second


def test_local_part_says_which_build_only() -> None:
    """0.32.0+cpu is 0.32.0 in every comparison, and known as a CPU build."""
    cpu, plain = parse("0.32.0+cpu"), parse("0.32.0")
    assert cpu is not None and plain is not None
    assert cpu == plain and hash(cpu) == hash(plain)
    assert (cpu.text, cpu.public, cpu.is_cpu_build, plain.is_cpu_build) == ("0.32.0+cpu", "0.32.0", True, False)
    cuda = parse("0.32.0+cu129")
    assert cuda is not None and not cuda.is_cpu_build


@pytest.mark.parametrize("text", ["", "0", "v0.32.0", "0.32.0 ", "latest", "0.32.x", "0..1", "0.32.0+", "1" * 70, "0.3\u0662.0", "0.32.0+CPU", "1!0.32.0", "0.32.0-1", "1.2.3.4.5"])
def test_refused(text: str) -> None:
    """Anything but a version is None."""
    assert parse(text) is None
