# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel has of packet filtering, and what the host's iptables is."""

from __future__ import annotations

import errno
import struct

from pathlib import Path

import pytest

from ansible_collections.inferops.gpu.plugins.module_utils._firewall import backend


def answer(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def refusal(number: int) -> bytes:
    return answer(2, struct.pack("=i", -number) + bytes(20))


ANSWERS = [
    ("its generation", answer(10 << 8 | 15, bytes(12)), True),
    ("an acknowledgement", refusal(0), True),
    ("no such subsystem", refusal(errno.EINVAL), False),
    ("not supported", refusal(errno.EOPNOTSUPP), False),
    ("not root", refusal(errno.EPERM), None),
    ("cut off", b"x", None),
]


@pytest.mark.parametrize(("said", "expected"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_answers_of_the_kernel(said: bytes, expected: bool | None) -> None:
    assert backend.means(said) is expected


def test_this_kernel_answers() -> None:
    assert backend.has_nf_tables() in (True, False, None)


def test_alternatives(tmp_path: Path) -> None:
    (tmp_path / "proc" / "net").mkdir(parents=True)
    (tmp_path / "proc" / "net" / "ip_tables_names").touch()
    found = backend.read(str(tmp_path), str(tmp_path / "proc"))
    assert (found["iptables"], found["ip6tables"], found["installed"]) == ("nft", "nft", False)
    (tmp_path / "iptables").symlink_to("/usr/sbin/iptables-legacy")
    (tmp_path / "ip6tables").symlink_to("/usr/sbin/ip6tables-nft")
    found = backend.read(str(tmp_path), str(tmp_path / "proc"))
    assert (found["iptables"], found["ip6tables"], found["installed"]) == ("legacy", "nft", True)
    assert found["legacy"]["iptables"] is True
