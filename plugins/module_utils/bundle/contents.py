# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a support bundle contains, in the order of its importance: each item is a name and a function that returns its text."""

from __future__ import annotations

import functools
import glob
import os
import re
import typing as t

from .. import _green, _host, _nvidia, _safe_paths
from ..diagnosis import units
from ..diagnosis.commands import Unread, output

# Limit for one item in bytes: its end is kept, where the newest lines are.
LONGEST = 4 * 1024 * 1024
# Time limit of a command in seconds.
SECONDS = 20
# Logs of first failures that are kept of each unit.
FAILURES = 3
# Kernel parameters that are keys: TCP fast open, and the secret of stable IPv6 addresses.
_SECRET_PARAMETER = re.compile(r"^\S*(?:key|secret)\S*\s*=.*$", re.MULTILINE)

Item = tuple[str, t.Callable[[], str]]


def command(*words: str) -> t.Callable[[], str]:
    """Return a function that runs a command and returns what it prints, with whatever status it ends. Raises Unread."""
    return functools.partial(output, *words, seconds=SECONDS, status=range(256))


def nvidia(*words: str) -> str:
    """What nvidia-smi prints. Raises Unread."""
    text, problem = _nvidia.ask(*words)
    if problem:
        raise Unread(problem)
    return text


def parameters() -> str:
    """The kernel's parameters without those that are keys. Raises Unread."""
    return _SECRET_PARAMETER.sub("(left out)", command("sysctl", "-a")())


def environment_names(path: str) -> str:
    """The names in an environment file. Its values are secrets. Raises Unread."""
    text = read_file(path)
    return "".join(f"{name}=(hidden)\n" for name in units.environment_file(text))


def read_file(path: str) -> str:
    """A file that another account may have written, without following a link of that account. Raises Unread."""
    try:
        return _safe_paths.read_bytes(path).decode("utf-8", "replace")
    except OSError as problem:
        raise Unread(problem.strerror or str(problem)) from None


def of_unit(unit: str, lines: int, failures: str) -> list[Item]:
    """The items of a managed unit: its files, state, journal, and the logs of first failures."""
    stem = unit[: -len(".service")] if unit.endswith(".service") else unit
    found: list[Item] = [
        (f"units/{unit}.txt", command("systemctl", "cat", "--no-pager", unit)),
        (f"units/{unit}.status.txt", command("systemctl", "status", "--no-pager", "--full", "--lines=0", unit)),
        (f"units/{unit}.show.txt", command("systemctl", "show", "--no-pager", unit)),
        (f"journal/{unit}.log", command("journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}", f"--unit={unit}")),
    ]
    try:
        opened = _safe_paths.open_folder(os.path.join(failures, stem))
    except OSError:
        return found
    try:
        names = sorted(os.listdir(opened))[-FAILURES:]
    finally:
        os.close(opened)
    for name in names:
        for log in ("output.log", "nvidia-smi.log"):
            found.append((f"failures/{stem}/{safe(name)}/{log}", functools.partial(read_file, os.path.join(failures, stem, name, log))))
    return found


def managed_units() -> list[str]:
    """Names of all units of the collection on this host: services, downloads, builds, new engines of updates."""
    paths = sorted(path for pattern in ("vllm-*", "ray-*", "inferops-*") for path in glob.glob(os.path.join(_host.UNIT_DIRECTORY, pattern + ".service")))
    return [*(os.path.basename(path) for path in paths if pattern_is_ours(path)), *_green.units()]


def pattern_is_ours(path: str) -> bool:
    """Whether a unit's file has the collection's mark, or its name is one that only the collection uses."""
    return os.path.basename(path).startswith("inferops-") or _host.read_text(path).startswith(_host.UNIT_MARK)


def of_releases(directory: str) -> list[Item]:
    """The records of releases: what is installed, and how its verification ended."""
    found: list[Item] = []
    for path in sorted(glob.glob(os.path.join(directory, "*", "release.json"))):
        release = os.path.dirname(path)
        for name in ("requirements.lock", "release.json", "cuda.json", "cuda.env"):
            if os.path.isfile(os.path.join(release, name)):
                found.append((f"releases/{os.path.basename(release)}/{name}", functools.partial(read_file, os.path.join(release, name))))
    return found


def of_host(install_dir: str) -> list[Item]:
    """The host: GPUs, versions, network, disks, firewall, kernel."""
    return [
        ("nvidia/nvidia-smi.txt", functools.partial(nvidia)),
        ("nvidia/nvidia-smi-q.txt", functools.partial(nvidia, "-q")),
        ("nvidia/topology.txt", functools.partial(nvidia, "topo", "-m")),
        ("versions/os-release", functools.partial(read_file, "/usr/lib/os-release")),
        ("versions/kernel.txt", command("uname", "-a")),
        ("versions/packages.txt", command("dpkg-query", "--show")),
        ("versions/uv.txt", command(os.path.join(install_dir, "bin", "uv"), "--version")),
        ("versions/python.txt", command("/usr/bin/python3", "--version")),
        ("versions/modules.txt", functools.partial(_host.read_text, "/proc/modules")),
        ("system/failed-units.txt", command("systemctl", "list-units", "--failed", "--no-pager", "--plain")),
        ("system/listeners.txt", command("ss", "-ltnp")),
        ("system/ufw.txt", command("ufw", "status", "verbose")),
        ("system/iptables.txt", command("iptables-save")),
        ("system/disk-space.txt", command("df", "-PT")),
        ("system/disk-inodes.txt", command("df", "-PiT")),
        ("system/mounts.txt", functools.partial(_host.read_text, "/proc/self/mounts")),
        ("system/memory.txt", functools.partial(_host.read_text, "/proc/meminfo")),
        ("system/cpu.txt", command("lscpu")),
        ("system/pci.txt", command("lspci", "-tv")),
        ("system/addresses.txt", command("ip", "address", "show")),
        ("system/routes.txt", command("ip", "route", "show", "table", "all")),
        ("system/clock.txt", command("timedatectl", "show")),
        ("system/limits.txt", command("systemctl", "show", "--no-pager")),
        ("system/sysctl.txt", parameters),
        ("system/command-line.txt", functools.partial(_host.read_text, "/proc/cmdline")),
        ("system/libcuda.txt", command("ldconfig", "-p")),
        # Without arguments, in which other programs may have secrets.
        ("system/processes.txt", command("ps", "-eo", "pid,ppid,user:24,stat,etime,rss,pcpu,comm")),
        ("system/kernel-messages.txt", kernel_messages),
    ]


def kernel_messages() -> str:
    """The end of the kernel's messages. Raises Unread."""
    return "\n".join(command("dmesg", "--time-format=iso")().splitlines()[-5000:]) + "\n"


def of_environments(directory: str) -> list[Item]:
    """The environment files of units."""
    paths = [*sorted(glob.glob(os.path.join(directory, "*.env"))), *_green.environment_files()]
    return [(f"environment/{os.path.basename(path)}", functools.partial(environment_names, path)) for path in paths]


def safe(name: str) -> str:
    """Return a name of a file that another account has chosen, as part of an archive's member."""
    return "".join(letter if letter.isalnum() or letter in "-_.:+" else "_" for letter in name)[:100].lstrip(".") or "_"
