# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the state of a Linux host from /proc, /sys and a few commands that are there on every Debian or Ubuntu."""

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
import typing as t

from . import _reading, _safe_paths

UNIT_DIRECTORY = "/etc/systemd/system"
# Every unit of ours carries this line, so that nobody else's `vllm-*.service` is taken for ours.
SHARED_MEMORY = "/dev/shm"
# The name of the process that listens for other nodes while the network is checked (_multi_node_network.py); at most 15 bytes, the limit of Linux.
NETWORK_PROBE = "inferops-probe"
UNIT_MARK = "# Managed by inferops.gpu"
# How long a command may take, and a file system over a network to say how large it is.
RUN_SECONDS = 60
MOUNT_SECONDS = 5
# Kinds of file systems that wait for somebody else: a server, or a program (FUSE).
_REMOTE = ("nfs", "cifs", "smb", "ceph", "gluster", "lustre", "gpfs", "beegfs", "fuse", "9p", "afs", "ocfs", "gfs", "pvfs", "orangefs", "weka",
           "virtiofs", "autofs")


def run(*command: str) -> str:
    """Return what a command printed; empty when it is missing or failed (the caller reads that as 'nothing known')."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    try:
        said = process.communicate(timeout=RUN_SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        # One that waits in the kernel cannot be ended, and is left behind.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        return ""
    return said if process.returncode == 0 else ""


def parse_os_release(text: str) -> dict[str, t.Any]:
    """Return id, version_id and like from the text of /etc/os-release."""
    values = dict(re.findall(r'^([A-Z_]+)="?(.*?)"?$', text, flags=re.MULTILINE))
    return {"id": values.get("ID", ""), "version_id": values.get("VERSION_ID", ""), "like": values.get("ID_LIKE", "").split()}


def read_system() -> dict[str, t.Any]:
    """Return the facts that do not depend on where this collection keeps its things."""
    interfaces = parse_addresses(run("ip", "-json", "address", "show"))
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
        "default_ipv6": default_address_v6(read_text("/proc/net/ipv6_route"), interfaces),
    }


def read_text(path: str) -> str:
    """Return a file's text, or an empty string where it can't be read."""
    return _reading.read_text(path)


def parse_packages(text: str) -> list[str]:
    """Return the sorted names of the packages that dpkg-query reports as installed ("ii", or "hi" for held ones)."""
    rows = (line.split() for line in text.splitlines())
    return sorted({row[1] for row in rows if len(row) == 2 and row[0] in ("ii", "hi")})


def parse_addresses(text: str) -> dict[str, list[str]]:
    """Return addresses by interface from `ip -json address show`: those of IPv4, then those of IPv6 that others reach and that stay."""
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


# Of a route that refuses (RTF_REJECT in linux/route.h), which the kernel has where there is none to the world.
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
    """Return the same, and why mounts did not answer, by place: an NFS whose server is gone never answers."""
    # A later mount on the same place hides the earlier one.
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
    """Return size and free space of a mounted file system, in bytes, and how many files may still be made; None where it has none."""
    try:
        size = os.statvfs(mount)
    except OSError:
        return None
    return {
        "size_bytes": size.f_blocks * size.f_frsize, "free_bytes": size.f_bavail * size.f_frsize,
        # Of file systems that make files as they need them (btrfs, some over a network) none is known.
        "free_files": size.f_favail if size.f_files else None,
    } if size.f_blocks else None


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


# TCP_LISTEN, and TCP_CLOSE, which is what UDP sockets are in that are connected to nobody (include/net/tcp_states.h).
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
        # Each 32-bit word stands in host byte order.
        address = socket.inet_ntop(family, b"".join(struct.pack("=I", word) for word in words))
        found.append((int(port, 16), address, cells[9]))
    return found


def network_probes() -> list[int]:
    """Return the processes that listen for other nodes while the network is tried."""
    return [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm") if read_text(path).strip() == NETWORK_PROBE]


def read_listeners(protocol: str = "tcp") -> list[dict[str, t.Any]]:
    """Return the listening sockets with the process, its name and its systemd unit behind each, without those of a trial of the network that died."""
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
            "digest": file_digest(os.path.join(UNIT_DIRECTORY, unit)),
        }
        for unit, state in zip(units, states)
    ]


def file_digest(path: str) -> str:
    """Return the sha256 of a file as this collection writes them for all to read: a plain file, root's, mode 0644; empty of any other."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) != 0o644 or (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        return ""
    return hashlib.sha256(read_text(path).encode()).hexdigest()


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
        found[path[:-len(suffix)]] = sum(_size(file) for file in files)
    return found


def _size(path: str) -> int:
    """A file's size; one that is gone meanwhile, which a download's are, has none."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def shared_weights(directory: str) -> list[str]:
    """Return the folders that hold what is being served to peers."""
    return sorted(glob.glob(os.path.join(directory, "*", "*.share")))


def read_account(name: str) -> dict[str, str]:
    """Return user, primary group, home and comment of an account; empty where it does not exist."""
    try:
        found = pwd.getpwnam(name)
        return {"user": name, "group": grp.getgrgid(found.pw_gid).gr_name, "home": found.pw_dir, "comment": found.pw_gecos}
    except KeyError:
        return {}


def checked_services(directory: str) -> dict[str, str]:
    """Return, by service, the digest of the arguments that have passed the release's own parser."""
    return {os.path.basename(path): read_text(path) for path in sorted(glob.glob(os.path.join(directory, "checked", "*")))}


def added_certificates(
    directory: str = "/usr/local/share/ca-certificates", trusted: str = "/etc/ssl/certs/ca-certificates.crt"
) -> dict[str, str]:
    """Return the sha256 of each certificate file that was added to the host's trust store, by file name.

    A file that C(update-ca-certificates) has not taken up into C(trusted) is left out: a run may have ended between the two.
    """
    bundle = _reading.read_text(trusted)
    return {name: digest for name, digest in _digests(os.path.join(directory, "*.crt")).items() if _is_in(bundle, os.path.join(directory, name))}


def _is_in(bundle: str, path: str) -> bool:
    text = _reading.read_text(path).rstrip("\n")
    return bool(text) and text in bundle


def _digests(pattern: str) -> dict[str, str]:
    """The sha256 of each file, by name. What cannot be read (a dangling link, a folder, a pipe) is as if it were not there."""
    found = {os.path.basename(path): _reading.digest(path) for path in sorted(glob.glob(pattern))}
    return {name: digest for name, digest in found.items() if digest}


def installed_tools(directory: str) -> dict[str, str]:
    """Return what the links in <directory>/bin lead to, leaving out dead ones."""
    links = (path for path in glob.glob(os.path.join(directory, "bin", "*")) if os.path.islink(path) and os.path.exists(path))
    return {os.path.basename(path): os.readlink(path) for path in sorted(links)}
