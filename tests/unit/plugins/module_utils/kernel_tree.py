# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host's /proc, /sys and /etc as a tree of files, for what reads and sets kernel parameters."""

from __future__ import annotations

from pathlib import Path

MAX = "net.netfilter.nf_conntrack_max"
BUCKETS = "net.netfilter.nf_conntrack_buckets"
BACKLOG = "net.core.somaxconn"

IN_FORCE = {
    "net/core/netdev_max_backlog": "1000",
    "net/core/somaxconn": "4096",
    "net/ipv4/tcp_max_syn_backlog": "2048",
    "net/ipv4/tcp_rmem": "4096\t131072\t6291456",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/eth0.100/rp_filter": "2",
    "net/netfilter/nf_conntrack_count": "7",
    "net/netfilter/nf_conntrack_max": "262144",
    "net/netfilter/nf_conntrack_buckets": "262144",
    "vm/swappiness": "60",
}


class Tree:
    """A host below a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = str(path)
        for name, value in IN_FORCE.items():
            self.write(f"/proc/sys/{name}", f"{value}\n")
        (path / "sys/module/nf_conntrack").mkdir(parents=True)

    def write(self, path: str, text: str) -> Path:
        file = self.path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def read(self, path: str) -> str:
        return (self.path / path.lstrip("/")).read_text(encoding="utf-8")

    def remove(self, path: str) -> None:
        (self.path / path.lstrip("/")).unlink()

    def files(self) -> dict[str, str]:
        """Every file below /etc, with its text."""
        return {str(file.relative_to(self.path)): file.read_text(encoding="utf-8") for file in sorted(self.path.glob("etc/**/*")) if file.is_file()}

    def without_conntrack(self) -> None:
        """The module is not loaded, and its parameters are not there."""
        (self.path / "sys/module/nf_conntrack").rmdir()
        for file in (self.path / "proc/sys/net/netfilter").iterdir():
            file.unlink()

    def in_a_container(self) -> None:
        """Another network namespace than the initial one."""
        self.remove("/proc/sys/net/core/netdev_max_backlog")
