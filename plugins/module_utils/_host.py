# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the state of a Linux host from /proc, /sys and a few commands that every Debian or Ubuntu has."""

from __future__ import annotations

import contextlib
import functools
import glob
import grp
import hashlib
import json
import os
import platform
import pwd
import re
import socket
import stat
import struct
import subprocess
import time
import typing as t

from . import _reading, _safe_paths

UNIT_DIRECTORY = "/etc/systemd/system"
SHARED_MEMORY = "/dev/shm"
# The name of the process that listens for other nodes while the network is checked (_multi_node_network.py); at most 15 bytes, the limit of Linux.
NETWORK_PROBE = "inferops-probe"
# Every managed unit begins with this line, which distinguishes it from an unmanaged `vllm-*.service`.
UNIT_MARK = "# Managed by inferops.gpu"
# Timeouts in seconds: of a command, and of statvfs on a network file system.
RUN_SECONDS = 60
MOUNT_SECONDS = 5
# How often listening sockets are read while processes that have them end, and the seconds between.
READINGS = 3
READING_PAUSE_SECONDS = 0.5
# Types of file systems that depend on a server or on another program (FUSE), and may hang.
_REMOTE = ("nfs", "cifs", "smb", "ceph", "gluster", "lustre", "gpfs", "beegfs", "fuse", "9p", "afs", "ocfs", "gfs", "pvfs", "orangefs", "weka",
           "virtiofs", "autofs")


def run(*command: str) -> str:
    """Return the output of a command; empty when it is missing or failed (callers treat that as unknown)."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    try:
        said = process.communicate(timeout=RUN_SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that waits in the kernel cannot be killed, and is abandoned.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        return ""
    return said if process.returncode == 0 else ""


def parse_os_release(text: str) -> dict[str, t.Any]:
    """Return id, version_id and like from the text of /etc/os-release."""
    values = dict(re.findall(r'^([A-Z_]+)="?(.*?)"?$', text, flags=re.MULTILINE))
    return {"id": values.get("ID", ""), "version_id": values.get("VERSION_ID", ""), "like": values.get("ID_LIKE", "").split()}


def read_system() -> dict[str, t.Any]:
    """Return the facts that do not depend on the collection's directories."""
    interfaces = parse_addresses(run("ip", "-json", "address", "show"))
    return {
        "os": parse_os_release(read_text("/etc/os-release")),
        "architecture": platform.machine(),
        "kernel_release": platform.release(),
        "glibc": glibc_version(),
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        # The same test as systemd's sd_booted().
        "systemd": os.path.isdir("/run/systemd/system"),
        "packages": parse_packages(run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n")),
        "interfaces": interfaces,
        "default_ipv4": default_address(read_text("/proc/net/route"), interfaces),
        "default_ipv6": default_address_v6(read_text("/proc/net/ipv6_route"), interfaces),
    }


def glibc_version() -> str:
    """Return the version of glibc, which wheels name; empty for another C library."""
    try:
        name, _space, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return ""
    return version if name == "glibc" else ""


def read_text(path: str) -> str:
    """Return a file's text, or an empty string when it cannot be read."""
    return _reading.read_text(path)


def parse_packages(text: str) -> list[str]:
    """Return the sorted names of the packages that dpkg-query reports as installed ("ii", or "hi" for held ones)."""
    rows = (line.split() for line in text.splitlines())
    return sorted({row[1] for row in rows if len(row) == 2 and row[0] in ("ii", "hi")})


def parse_addresses(text: str) -> dict[str, list[str]]:
    """Return addresses by interface from `ip -json address show`: IPv4 addresses, then the global and permanent IPv6 addresses."""
    try:
        links = json.loads(text)
    except ValueError:
        return {}
    return {link["ifname"]: sorted(_addresses(link), key=lambda address: ":" in address) for link in links if "ifname" in link}


def _addresses(link: dict[str, t.Any]) -> list[str]:
    rows = [row for row in link.get("addr_info", []) if "local" in row]
    lasting = [row for row in rows if not any(row.get(mark) for mark in ("temporary", "deprecated", "tentative", "dadfailed"))]
    return [row["local"] for row in rows if row.get("family", "inet") == "inet"] + [
        row["local"] for row in lasting if row.get("family") == "inet6" and row.get("scope") == "global"
    ]


def default_address(routes: str, interfaces: dict[str, list[str]]) -> str:
    """Return the first IPv4 address of the interface of the default route in /proc/net/route, or an empty string."""
    for line in routes.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 7 and cells[1] == "00000000" and cells[7] == "00000000":
            return next((address for address in interfaces.get(cells[0], []) if ":" not in address), "")
    return ""


# Flag of a reject route (RTF_REJECT in linux/route.h), which the kernel has when there is no default route.
_REFUSES = 0x200


def default_address_v6(routes: str, interfaces: dict[str, list[str]]) -> str:
    """Return the first IPv6 address of the interface of the default route in /proc/net/ipv6_route, or an empty string."""
    for line in routes.splitlines():
        cells = line.split()
        if len(cells) == 10 and cells[0] == "0" * 32 and cells[1] == "00" and not int(cells[8], 16) & _REFUSES:
            return next((address for address in interfaces.get(cells[9], []) if ":" in address), "")
    return ""


def read_mounts() -> list[dict[str, t.Any]]:
    """Return the file systems on a block device, overlay, NFS or similar, and that of shared memory, with size and free space, in bytes."""
    return ask_mounts()[0]


def ask_mounts() -> tuple[list[dict[str, t.Any]], dict[str, str]]:
    """Return the same, and by mount point why others did not answer: NFS hangs when its server is gone."""
    # A later mount on the same mount point hides the earlier one.
    rows: dict[str, tuple[str, str, str]] = {}
    for line in read_text("/proc/self/mounts").splitlines():
        cells = [unescape_mount(cell) for cell in line.split()[:4]]
        if len(cells) == 4 and (not cells[1].startswith(("/proc", "/sys", "/dev", "/run")) or cells[1] == SHARED_MEMORY):
            device, mount, kind, options = cells
            rows[mount] = (device, kind, options)
    remote = {mount: functools.partial(mount_size, mount) for mount, (_device, kind, _options) in rows.items() if kind.startswith(_REMOTE)}
    sizes, silent = _reading.ask(remote, MOUNT_SECONDS)
    found = []
    for mount, (device, _kind, options) in sorted(rows.items()):
        size = sizes.get(mount) if mount in remote else mount_size(mount)
        if size:
            found.append({"mount": mount, "device": device, **size, "options": sorted(options.split(","))})
    return found, silent


def mount_size(mount: str) -> dict[str, t.Any] | None:
    """Return size and free space of a mounted file system, in bytes, and its free inodes; None when it has no size."""
    try:
        size = os.statvfs(mount)
    except OSError:
        return None
    return {
        "size_bytes": size.f_blocks * size.f_frsize, "free_bytes": size.f_bavail * size.f_frsize,
        # Unknown for file systems without a fixed number of inodes (btrfs, some network file systems).
        "free_files": size.f_favail if size.f_files else None,
    } if size.f_blocks else None


def linked_paths(paths: t.Iterable[t.Any]) -> dict[str, str]:
    """Return the real path of each path that contains links, so that its file system can be determined."""
    found = {path: os.path.realpath(path) for path in paths if isinstance(path, str) and path.startswith("/")}
    return {path: real for path, real in found.items() if real != path}


def read_pythons(wanted: t.Any) -> dict[str, str]:
    """Return the versions of the system's interpreters and of a wanted one, by path; empty for a wanted one that does not exist."""
    paths = [path for path in glob.glob("/usr/bin/python3*") if re.fullmatch(r"/usr/bin/python3(\.\d+)?", path)]
    found = {path: python_version(path) for path in sorted(paths)}
    if isinstance(wanted, str) and wanted.startswith("/") and wanted not in found:
        found[wanted] = python_version(wanted) if os.path.exists(wanted) else ""
    return found


def python_version(path: str) -> str:
    """Return the version of an interpreter: from the file name of the system's own, otherwise by running it."""
    match = re.fullmatch(r"/usr/bin/python(3\.\d+)", os.path.realpath(path))
    return match.group(1) if match else run(path, "-I", "-c", "import platform; print(platform.python_version())").strip()


# Limit for the number of wheels in a folder.
MOST_WHEELS = 20000


def read_wheels(links: t.Any) -> dict[str, list[str]]:
    """Return the file names in the host's folders of wheels (find-links), by folder."""
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
    """Return all mount points, including those of file systems without a size (some object stores)."""
    rows = (line.split() for line in read_text("/proc/self/mounts").splitlines())
    return sorted({unescape_mount(row[1]) for row in rows if len(row) > 1})


def unescape_mount(text: str) -> str:
    """Undo the octal escapes of /proc/mounts (a space is \\040)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


# TCP_LISTEN, and TCP_CLOSE, which is the state of unconnected UDP sockets (include/net/tcp_states.h).
_LISTENING = {"tcp": "0A", "udp": "07"}


def parse_listeners(text: str, family: int, protocol: str = "tcp") -> list[tuple[int, str, str]]:
    """Return (port, address, inode) of the listening sockets in the text of /proc/net/tcp, tcp6, udp or udp6."""
    found = []
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) < 10 or cells[3] != _LISTENING[protocol]:
            continue
        raw, port = cells[1].split(":")
        words = [int(raw[i:i + 8], 16) for i in range(0, len(raw), 8)]
        # Each 32-bit word is in host byte order.
        address = socket.inet_ntop(family, b"".join(struct.pack("=I", word) for word in words))
        found.append((int(port, 16), address, cells[9]))
    return found


def network_probes() -> list[int]:
    """Return the processes that listen for other nodes during the network check."""
    return [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm") if read_text(path).strip() == NETWORK_PROBE]


def read_listeners(protocol: str = "tcp") -> list[dict[str, t.Any]]:
    """Return the listening sockets with process, program name and systemd unit, without those of an interrupted network check.

    A process that ends meanwhile would have no unit, and look like somebody else's: then they are read again.
    """
    rows = _listeners(protocol)
    for _attempt in range(READINGS - 1):
        # Without a process it may be a socket of the kernel, or of a container.
        if all(not row["pid"] or os.path.exists(f"/proc/{row['pid']}") for row in rows):
            break
        time.sleep(READING_PAUSE_SECONDS)
        rows = _listeners(protocol)
    return rows


def _listeners(protocol: str) -> list[dict[str, t.Any]]:
    """Read them once."""
    sockets = parse_listeners(read_text(f"/proc/net/{protocol}"), socket.AF_INET, protocol)
    sockets += parse_listeners(read_text(f"/proc/net/{protocol}6"), socket.AF_INET6, protocol)
    owners = socket_owners({inode for port, address, inode in sockets})
    probes = network_probes()
    rows = []
    for port, address, inode in sorted(set(sockets)):
        pid = owners.get(inode)
        if pid in probes:
            continue
        program = read_text(f"/proc/{pid}/comm").strip() if pid else ""
        rows.append({"port": port, "address": address, "pid": pid, "unit": unit_of(pid) if pid else "", "program": program})
    return rows


def socket_owners(inodes: set[str]) -> dict[str, int]:
    """Return the process that has each socket inode open. Needs root to see other users' processes."""
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
    """Return the units of model services that this collection wrote, with their active state, their status text, and what they occupy:
    the C(port) of the API (0 when there is none) and the C(gpus) (None when unknown)."""
    units = [
        os.path.basename(path) for kind in ("vllm", "ray") for path in sorted(glob.glob(os.path.join(UNIT_DIRECTORY, kind + "-*.service")))
        if read_text(path).startswith(UNIT_MARK)
    ]
    # One call for all units: `systemctl show` prints a block for each, in the order of its arguments.
    blocks = run("systemctl", "show", "--property=ActiveState,StatusText,UnitFileState", *units).split("\n\n") if units else []
    states = [dict(line.partition("=")[::2] for line in block.strip().splitlines()) for block in blocks]
    return [
        {
            "unit": unit, "service": service_of(unit), "active": state.get("ActiveState", ""), "status": state.get("StatusText", ""),
            "enabled": state.get("UnitFileState", ""), **unit_holds(read_text(os.path.join(UNIT_DIRECTORY, unit))),
            "digest": file_digest(os.path.join(UNIT_DIRECTORY, unit)),
        }
        for unit, state in zip(units, states)
    ]


def file_digest(path: str) -> str:
    """Return the sha256 of a file that this collection may have written for all to read: a regular file of root, mode 0644; empty for others."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != 0o644 or (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        return ""
    return hashlib.sha256(read_text(path).encode()).hexdigest()


def service_of(unit: str) -> str:
    """Return the name of the service that a managed unit belongs to."""
    return re.sub(r"^(?:vllm|ray-head|ray-worker)-|\.service$", "", unit)


def unit_holds(text: str) -> dict[str, t.Any]:
    """Return what a unit occupies according to its text: the port of its API, and GPUs by their indexes. And whether it is one of a multi-node service."""
    # After "--": before it are the supervisor's own options, with another port.
    command = re.split(r"^\s+--\s*\\?$", text, maxsplit=1, flags=re.MULTILINE)[-1]
    has_api = re.search(r"^(?:ExecStart=\S+|\s+)\s*serve\b|\bserve \\$", command, flags=re.MULTILINE)
    port = re.search(r"^\s+--port=(\d+)", command, flags=re.MULTILINE) if has_api else None
    named = re.search(r"(?:CUDA|HIP)_VISIBLE_DEVICES=([0-9]+(?:,[0-9]+)*)", text)
    return {
        "port": int(port[1]) if port else 0, "gpus": [int(index) for index in named[1].split(",")] if named else None,
        "multi_node": re.search(r"^ExecStart=.*(?:\\\n.*)*?\bsupervisor\b[\s\\]+(?:leader|worker)\b", text, flags=re.MULTILINE) is not None,
    }


def complete_weights(directory: str) -> list[str]:
    """Return the paths of weights that were verified and have not changed since: each file has the size and modification time of the manifest."""
    suffix = ".manifest.json"
    manifests = glob.glob(os.path.join(directory, "*", "*" + suffix))
    return sorted(path[:-len(suffix)] for path in manifests if is_as_verified(path[:-len(suffix)], path))


def weights_patterns(directory: str) -> dict[str, dict[str, t.Any]]:
    """Return the patterns C(include) and C(exclude) of downloaded weights by their path; omits manifests without patterns."""
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
    """Whether the files of a directory have the sizes and modification times of its manifest. Without times only sizes count."""
    try:
        for file in json.loads(_safe_paths.read_text(manifest))["files"]:
            found = os.stat(os.path.join(path, file["path"]))
            if found.st_size != file["size"] or found.st_mtime_ns != file.get("mtime_ns", found.st_mtime_ns):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def partial_weights(directory: str) -> dict[str, int]:
    """Return the bytes of unfinished downloads, by the path that the weights will have."""
    suffix = ".partial"
    found = {}
    for path in sorted(glob.glob(os.path.join(directory, "*", "*" + suffix))):
        if os.path.islink(path):
            continue
        files = (os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names)
        found[path[:-len(suffix)]] = sum(_size(file) for file in files)
    return found


def _size(path: str) -> int:
    """A file's size; 0 for a file that has disappeared, as files of a running download do."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def shared_weights(directory: str) -> list[str]:
    """Return the export directories, which are served to peers."""
    return sorted(glob.glob(os.path.join(directory, "*", "*.share")))


def read_account(name: str) -> dict[str, str]:
    """Return user, primary group, home and comment of an account; empty when it does not exist."""
    try:
        found = pwd.getpwnam(name)
        return {"user": name, "group": grp.getgrgid(found.pw_gid).gr_name, "home": found.pw_dir, "comment": found.pw_gecos}
    except KeyError:
        return {}


def checked_services(directory: str) -> dict[str, str]:
    """Return, by service, the digest of the arguments that the release's own parser has accepted."""
    return {os.path.basename(path): read_text(path) for path in sorted(glob.glob(os.path.join(directory, "checked", "*")))}


def added_certificates(
    directory: str = "/usr/local/share/ca-certificates", trusted: str = "/etc/ssl/certs/ca-certificates.crt"
) -> dict[str, str]:
    """Return the sha256 of each certificate file in the host's trust store that was added to it, by file name.

    Omits files that C(update-ca-certificates) has not added to C(trusted): a run may have been interrupted before that.
    """
    bundle = _reading.read_text(trusted)
    return {name: digest for name, digest in _digests(os.path.join(directory, "*.crt")).items() if _is_in(bundle, os.path.join(directory, name))}


def _is_in(bundle: str, path: str) -> bool:
    text = _reading.read_text(path).rstrip("\n")
    return bool(text) and text in bundle


def _digests(pattern: str) -> dict[str, str]:
    """The sha256 of each file, by name. Omits files that cannot be read (a dangling link, a folder, a pipe)."""
    found = {os.path.basename(path): _reading.digest(path) for path in sorted(glob.glob(pattern))}
    return {name: digest for name, digest in found.items() if digest}


def installed_tools(directory: str) -> dict[str, str]:
    """Return the targets of the links in <directory>/bin, without dead links."""
    links = (path for path in glob.glob(os.path.join(directory, "bin", "*")) if os.path.islink(path) and os.path.exists(path))
    return {os.path.basename(path): os.readlink(path) for path in sorted(links)}
