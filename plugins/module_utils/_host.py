# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the state of a Linux host from /proc, /sys and a few commands that are there on every Debian or Ubuntu."""

from __future__ import annotations

import glob
import grp
import hashlib
import json
import os
import platform
import pwd
import re
import socket
import struct
import subprocess
import typing as t

from . import _safe_paths

UNIT_DIRECTORY = "/etc/systemd/system"
# Every unit of ours carries this line, so that nobody else's `vllm-*.service` is taken for ours.
SHARED_MEMORY = "/dev/shm"
# The name of the process that listens for other nodes while the network is tried (_span_network.py); at most 15 letters, as Linux has it.
NETWORK_PROBE = "inferops-probe"
UNIT_MARK = "# Managed by inferops.gpu"


def run(*command: str) -> str:
    """Return what a command printed; empty when it is missing or failed (the caller reads that as 'nothing known')."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def parse_os_release(text: str) -> dict[str, t.Any]:
    """Return id, version_id and like from the text of /etc/os-release."""
    values = dict(re.findall(r'^([A-Z_]+)="?(.*?)"?$', text, flags=re.MULTILINE))
    return {"id": values.get("ID", ""), "version_id": values.get("VERSION_ID", ""), "like": values.get("ID_LIKE", "").split()}


def read_system() -> dict[str, t.Any]:
    """Return the facts that do not depend on where this collection keeps its things."""
    interfaces = parse_addresses(run("ip", "-json", "-4", "address", "show"))
    return {
        "os": parse_os_release(read_text("/etc/os-release")),
        "architecture": platform.machine(),
        "kernel_release": platform.release(),
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        # The test that systemd's own sd_booted() makes.
        "systemd": os.path.isdir("/run/systemd/system"),
        "packages": parse_packages(run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n")),
        "interfaces": interfaces,
        "default_ipv4": default_address(read_text("/proc/net/route"), interfaces),
    }


def read_text(path: str) -> str:
    """Return a file's text, or an empty string where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def parse_packages(text: str) -> list[str]:
    """Return the sorted names of the packages that dpkg-query reports as installed ("ii", or "hi" for held ones)."""
    rows = (line.split() for line in text.splitlines())
    return sorted({row[1] for row in rows if len(row) == 2 and row[0] in ("ii", "hi")})


def parse_addresses(text: str) -> dict[str, list[str]]:
    """Return IPv4 addresses by interface from `ip -json -4 address show`."""
    try:
        links = json.loads(text)
    except ValueError:
        return {}
    return {link["ifname"]: [a["local"] for a in link.get("addr_info", []) if "local" in a] for link in links if "ifname" in link}


def default_address(routes: str, interfaces: dict[str, list[str]]) -> str:
    """Return the first address of the interface of the default route in /proc/net/route, or an empty string."""
    for line in routes.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 7 and cells[1] == "00000000" and cells[7] == "00000000":
            return next(iter(interfaces.get(cells[0], [])), "")
    return ""


def read_mounts() -> list[dict[str, t.Any]]:
    """Return the file systems on a block device, overlay, NFS or similar, and that of shared memory, with size and free space, in bytes."""
    mounts: dict[str, dict[str, t.Any]] = {}
    for line in read_text("/proc/self/mounts").splitlines():
        device, mount, _kind, options = (unescape_mount(cell) for cell in line.split()[:4])
        if mount.startswith(("/proc", "/sys", "/dev", "/run")) and mount != SHARED_MEMORY:
            continue
        try:
            size = os.statvfs(mount)
        except OSError:
            continue
        if size.f_blocks:
            # A later mount on the same place hides the earlier one.
            mounts[mount] = {
                "mount": mount, "device": device,
                "size_bytes": size.f_blocks * size.f_frsize, "free_bytes": size.f_bavail * size.f_frsize,
                "options": sorted(options.split(",")),
                # Of file systems that make files as they need them (btrfs, some over a network) none is known.
                "free_files": size.f_favail if size.f_files else None,
            }
    return sorted(mounts.values(), key=lambda entry: entry["mount"])


def linked_paths(paths: t.Iterable[t.Any]) -> dict[str, str]:
    """Return where each path leads whose folders are links somewhere, so that the file system that it lies on can be told."""
    found = {path: os.path.realpath(path) for path in paths if isinstance(path, str) and path.startswith("/")}
    return {path: real for path, real in found.items() if real != path}


def read_pythons(wanted: t.Any) -> dict[str, str]:
    """Return the versions of the system's interpreters and of a wanted one, by path; empty for a wanted one that is not there."""
    paths = [path for path in glob.glob("/usr/bin/python3*") if re.fullmatch(r"/usr/bin/python3(\.\d+)?", path)]
    found = {path: python_version(path) for path in sorted(paths)}
    if isinstance(wanted, str) and wanted.startswith("/") and wanted not in found:
        found[wanted] = python_version(wanted) if os.path.exists(wanted) else ""
    return found


def python_version(path: str) -> str:
    """Return the version of an interpreter: what its file is called tells of the system's own, others are asked."""
    match = re.fullmatch(r"/usr/bin/python(3\.\d+)", os.path.realpath(path))
    return match.group(1) if match else run(path, "-I", "-c", "import platform; print(platform.python_version())").strip()


# Nobody's wheelhouse has more.
MOST_WHEELS = 20000


def read_wheels(links: t.Any) -> dict[str, list[str]]:
    """Return the names of the files in the folders of the host that releases are installed from, by folder."""
    folders = [link[len("file://"):] if link.startswith("file:///") else link for link in links if isinstance(link, str)] if isinstance(links, list) else []
    found = {}
    for folder in folders:
        if folder.startswith("/"):
            try:
                found[folder] = sorted(os.listdir(folder))[:MOST_WHEELS]
            except OSError:
                continue
    return found


def mount_points() -> list[str]:
    """Return all places where something is mounted, those of file systems without a size (some object stores) included."""
    rows = (line.split() for line in read_text("/proc/self/mounts").splitlines())
    return sorted({unescape_mount(row[1]) for row in rows if len(row) > 1})


def unescape_mount(text: str) -> str:
    """Undo the octal escapes of /proc/mounts (a space is \\040)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def parse_listeners(text: str, family: int) -> list[tuple[int, str, str]]:
    """Return (port, address, inode) of the listening sockets in the text of /proc/net/tcp or tcp6."""
    found = []
    for line in text.splitlines()[1:]:
        cells = line.split()
        # 0A is TCP_LISTEN (include/net/tcp_states.h).
        if len(cells) < 10 or cells[3] != "0A":
            continue
        raw, port = cells[1].split(":")
        words = [int(raw[i:i + 8], 16) for i in range(0, len(raw), 8)]
        # Each 32-bit word stands in host byte order.
        address = socket.inet_ntop(family, b"".join(struct.pack("=I", word) for word in words))
        found.append((int(port, 16), address, cells[9]))
    return found


def network_probes() -> list[int]:
    """Return the processes that listen for other nodes while the network is tried."""
    return [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm") if read_text(path).strip() == NETWORK_PROBE]


def read_listeners() -> list[dict[str, t.Any]]:
    """Return the listening TCP sockets with the process and the systemd unit behind each, without those of a trial of the network that died."""
    sockets = parse_listeners(read_text("/proc/net/tcp"), socket.AF_INET)
    sockets += parse_listeners(read_text("/proc/net/tcp6"), socket.AF_INET6)
    owners = socket_owners({inode for port, address, inode in sockets})
    probes = network_probes()
    rows = []
    for port, address, inode in sorted(set(sockets)):
        pid = owners.get(inode)
        if pid in probes:
            continue
        rows.append({"port": port, "address": address, "pid": pid, "unit": unit_of(pid) if pid else ""})
    return rows


def socket_owners(inodes: set[str]) -> dict[str, int]:
    """Return the process that holds each socket inode. Needs root to see other users' processes."""
    owners: dict[str, int] = {}
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            owners.setdefault(target[8:-1], int(link.split("/")[2]))
    return owners


def unit_of(pid: int) -> str:
    """Return the systemd service that a process belongs to, or an empty string."""
    names = re.findall(r"/([^/]+\.service)(?:/|$)", read_text(f"/proc/{pid}/cgroup"), flags=re.MULTILINE)
    return names[-1] if names else ""


def read_services() -> list[dict[str, t.Any]]:
    """Return the units of model services that this collection wrote, with their active state and what they say of themselves, and what each holds:
    the C(port) of its API (0 where it has none) and the C(gpus) that it computes on (None where nobody knows)."""
    units = [
        os.path.basename(path) for kind in ("vllm", "ray") for path in sorted(glob.glob(os.path.join(UNIT_DIRECTORY, kind + "-*.service")))
        if read_text(path).startswith(UNIT_MARK)
    ]
    # One call for all of them: `systemctl show` prints blocks in the order that they were asked for.
    blocks = run("systemctl", "show", "--property=ActiveState,StatusText,UnitFileState", *units).split("\n\n") if units else []
    states = [dict(line.partition("=")[::2] for line in block.strip().splitlines()) for block in blocks]
    return [
        {
            "unit": unit, "service": service_of(unit), "active": state.get("ActiveState", ""), "status": state.get("StatusText", ""),
            "enabled": state.get("UnitFileState", ""), **unit_holds(read_text(os.path.join(UNIT_DIRECTORY, unit))),
        }
        for unit, state in zip(units, states)
    ]


def service_of(unit: str) -> str:
    """Return the name of the service that a unit of ours belongs to."""
    return re.sub(r"^(?:vllm|ray-head|ray-worker)-|\.service$", "", unit)


def unit_holds(text: str) -> dict[str, t.Any]:
    """Return what the text of a unit says that it holds: the port of its API, and GPUs by their indexes."""
    port = re.search(r"^\s+--port=(\d+)", text, flags=re.MULTILINE)
    named = re.search(r"CUDA_VISIBLE_DEVICES=([0-9]+(?:,[0-9]+)*)", text)
    return {"port": int(port[1]) if port else 0, "gpus": [int(index) for index in named[1].split(",")] if named else None}


def complete_weights(directory: str) -> list[str]:
    """Return the paths of weights that were verified and have not changed since: each file of the manifest beside them has its size and time."""
    suffix = ".manifest.json"
    manifests = glob.glob(os.path.join(directory, "*", "*" + suffix))
    return sorted(path[:-len(suffix)] for path in manifests if is_as_verified(path[:-len(suffix)], path))


def weights_patterns(directory: str) -> dict[str, dict[str, t.Any]]:
    """Return what was chosen of repositories, as C(include) and C(exclude), by the path of the weights; not of manifests that do not say it."""
    suffix = ".manifest.json"
    found = {}
    for path in glob.glob(os.path.join(directory, "*", "*" + suffix)):
        try:
            manifest = json.loads(read_text(path))
            found[path[:-len(suffix)]] = {key: [str(pattern) for pattern in manifest[key]] for key in ("include", "exclude")}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def is_as_verified(path: str, manifest: str) -> bool:
    """Tell whether the files of a directory have the sizes and times that its manifest names. One without times vouches by size alone."""
    try:
        for file in json.loads(_safe_paths.read_text(manifest))["files"]:
            found = os.stat(os.path.join(path, file["path"]))
            if found.st_size != file["size"] or found.st_mtime_ns != file.get("mtime_ns", found.st_mtime_ns):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def partial_weights(directory: str) -> dict[str, int]:
    """Return the bytes that unfinished downloads hold, by the path that the weights will have."""
    suffix = ".partial"
    found = {}
    for path in sorted(glob.glob(os.path.join(directory, "*", "*" + suffix))):
        if os.path.islink(path):
            continue
        files = (os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names)
        found[path[:-len(suffix)]] = sum(os.lstat(file).st_size for file in files if os.path.lexists(file))
    return found


def shared_weights(directory: str) -> list[str]:
    """Return the folders that hold what is being served to peers."""
    return sorted(glob.glob(os.path.join(directory, "*", "*.share")))


def read_account(name: str) -> dict[str, str]:
    """Return user, primary group and home of an account; empty where it does not exist."""
    try:
        found = pwd.getpwnam(name)
        return {"user": name, "group": grp.getgrgid(found.pw_gid).gr_name, "home": found.pw_dir}
    except KeyError:
        return {}


def checked_services(directory: str) -> dict[str, str]:
    """Return, by service, the digest of the arguments that have passed the release's own parser."""
    return {os.path.basename(path): read_text(path) for path in sorted(glob.glob(os.path.join(directory, "checked", "*")))}


def added_certificates(directory: str = "/usr/local/share/ca-certificates") -> dict[str, str]:
    """Return the sha256 of each certificate file that was added to the host's trust store, by file name."""
    found = {}
    for path in sorted(glob.glob(os.path.join(directory, "*.crt"))):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = hashlib.sha256(file.read()).hexdigest()
    return found


def installed_scripts(directory: str) -> dict[str, str]:
    """Return the sha256 of each script that this collection's roles have put into <directory>/lib, by file name."""
    found = {}
    for path in glob.glob(os.path.join(directory, "lib", "*.py")):
        with open(path, "rb") as file:
            found[os.path.basename(path)] = hashlib.sha256(file.read()).hexdigest()
    return found


def installed_tools(directory: str) -> dict[str, str]:
    """Return what the links in <directory>/bin lead to, leaving out dead ones."""
    links = (path for path in glob.glob(os.path.join(directory, "bin", "*")) if os.path.islink(path) and os.path.exists(path))
    return {os.path.basename(path): os.readlink(path) for path in sorted(links)}
