# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that this collection has installed on a host, found by its marks and names, and how to remove it. Other files are left and reported.

Folders are variables of the inventory and may contain unmanaged files: only managed files are removed, and the folder itself when it is
empty then.
"""

from __future__ import annotations

import dataclasses
import glob
import grp
import json
import os
import pwd
import re
import typing as t

from . import _accounts, _adapters, _green, _host, _library, _package_program, _prune, _releases, _safe_paths, _systemd, _writing
from ._kernel import files as _kernel

# Comments of managed accounts that do not belong to a service (roles/host, roles/weights_mirror).
DOWNLOADS, MIRROR = "inferops model services", "inferops mirror of the Hugging Face Hub"
_TOOLS = ("uv", "huggingface_hub", "olah")
CERTIFICATES = "/usr/local/share/ca-certificates/inferops-*.crt"
LINKED_CERTIFICATES = "/etc/ssl/certs/inferops-*.pem"
_UNITS = ("vllm-*.service", "ray-head-*.service", "ray-worker-*.service", "inferops-*.service", "inferops-*.timer")
# Managed files in each folder of the state directory.
_STATE = {
    "checked": ("*",), "jobs": ("inferops-*.json", "inferops-share.conf", "release-*.json", "release-*.json.new"),
    "served": ("*.json", "*.json.new", ".*.json.new", "*.previous", "*.previous.new", ".*.previous.new"),
    "progress": ("inferops-*.json", "inferops-*.json.new"),
    "failures": ("vllm-*", "ray-head-*", "ray-worker-*"), "verified": ("*.json", "*.json.new"),
    "firewall": ("before-first-change", "before-first-change.partial", "former", "former.partial", "returned", "return.sh", "lock"),
}
_DIGEST = re.compile(r"[0-9a-f]{16,64}\s*")
_TEMPORARY = (
    "/run/inferops", "/run/inferops-adapters", "/run/inferops-metrics", "/run/inferops-monitoring", "/run/inferops-supervisor", "/run/inferops-span",
    "/run/inferops-share", "/dev/shm/inferops-*",
)
_SYSTEM = (
    "/etc/apt/sources.list.d/inferops-cuda.sources", "/etc/apt/keyrings/inferops-cuda.asc", "/etc/apt/keyrings/inferops-cuda.gpg",
    "/etc/apt/apt.conf.d/90inferops-proxy", "/etc/apt/apt.conf.d/90inferops-mirror-proxy",
    # These have the proxy's password.
    "/etc/apt/auth.conf.d/90inferops-proxy.conf", "/etc/apt/auth.conf.d/90inferops-mirror-proxy.conf", "/etc/inferops-mirror-proxy.env",
    "/etc/inferops-mirror.toml",
    # Of monitoring: with the token for webhooks, and the password of Grafana.
    "/etc/prometheus/inferops", "/etc/prometheus/inferops-packages", "/var/lib/prometheus/node-exporter/inferops.prom",
    "/etc/grafana/provisioning/datasources/inferops.yml", "/etc/grafana/provisioning/dashboards/inferops.yml",
    "/etc/apt/sources.list.d/inferops-grafana.sources", "/etc/apt/keyrings/inferops-grafana.asc",
    *(_package_program.drop_in(program) for program in _package_program.PROGRAMS),
    "/etc/grafana/inferops.env", f"{_host.UNIT_DIRECTORY}/grafana-server.service.d/inferops.conf",
)
# Folders with a service's files from the controller, named by a digest of their contents.
_CONTENTS = re.compile(r"[0-9a-f]{16}")
# Interpreters that uv has installed, and its own files beside them.
_INTERPRETERS = ("cpython-*", "pypy-*", "graalpy-*", ".lock", ".temp", ".gitignore")


@dataclasses.dataclass(frozen=True)
class Places:
    """The paths and accounts of a host, from the inventory. C(weights) is whether to remove weights too."""

    config_dir: str
    install_dir: str
    releases_dir: str
    state_dir: str
    cache_dir: str
    uv_cache_dir: str
    weights_dir: str
    multi_node_ray_temp_dir: str
    mirror_dir: str
    account: str
    group: str
    weights: bool
    mirror_install_dir: str = ""


def units() -> list[str]:
    """Return the managed units, temporary ones of updates first, those that supervise others last."""
    found = [path for pattern in _UNITS for path in sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, pattern)))]
    return [*_green.units(), *(os.path.basename(path) for path in found if _host.read_text(path).startswith(_host.UNIT_MARK))]


def remove_unit(unit: str) -> None:
    """Stop a unit with all of its processes, and remove it. Raises RuntimeError with systemctl's message."""
    if unit in _green.units():
        _green.remove(unit)
        return
    _systemd.systemctl("disable", "--quiet", "--now", unit)
    if _systemd.show(unit, "ActiveState")["ActiveState"] == "failed":
        _systemd.systemctl("reset-failed", unit)
    _safe_paths.remove(os.path.join(_host.UNIT_DIRECTORY, unit))


def weights(places: Places) -> list[_prune.Found]:
    """Return the downloaded weights, complete and unfinished ones."""
    try:
        return [_prune.Found(*row) for row in _accounts.as_account(places.account, _prune.find, places.weights_dir)]
    except (KeyError, OSError):
        return []


def files(places: Places) -> list[str]:
    """Return the paths of the files and folders to remove, with their contents; without weights and empty folders."""
    known = [*_text_files(places), *_programs(places), *_links(places), *_releases_of(places), *_caches(places)]
    ray = [path for path in glob.glob(os.path.join(glob.escape(places.multi_node_ray_temp_dir), "*")) if _is_an_accounts(path)]
    temporary = [path for pattern in _TEMPORARY for path in sorted(glob.glob(pattern))]
    mirror = [places.mirror_dir] if places.weights and _owner(places.mirror_dir) in _uids() else []
    return [path for path in [*known, *_state(places), *ray, *temporary, *mirror] if _safe_paths.exists(path)]


def programs() -> list[str]:
    """Return the programs of packages that have their arguments from this collection."""
    return [program for program in _package_program.PROGRAMS if _package_program.restore(program, True)]


def _state(places: Places) -> list[str]:
    """The managed files in the state directory, without unmanaged files in folders of the same names."""
    found = [
        (folder, path) for folder, names in _STATE.items() for name in names
        for path in sorted(glob.glob(os.path.join(glob.escape(places.state_dir), folder, name)))
    ]
    return [path for folder, path in found if _is_state(folder, path)]


def _is_state(folder: str, path: str) -> bool:
    """Whether a file with the name of a managed one is managed, when the name alone is not enough."""
    if folder == "failures":
        return _is_an_accounts(path)
    if folder == "checked":
        return _DIGEST.fullmatch(_safe_paths.read_text(path)) is not None
    # An interrupted write leaves a file with a name that nothing else uses.
    if folder in ("served", "verified") and not path.endswith(".new"):
        try:
            record = json.loads(_safe_paths.read_text(path))
        except (ValueError, RecursionError):
            return False
        if folder == "served" and isinstance(record, list):
            # The earlier states of a service.
            return bool(record) and all(isinstance(state, dict) and "unit_text" in state for state in record)
        return isinstance(record, dict) and ("unit_text" in record if folder == "served" else "files" in record and "path" in record)
    return True


def _text_files(places: Places) -> list[str]:
    config = glob.escape(places.config_dir)
    environments = [
        path for name in ("*.env", "*.env" + _writing.UNFINISHED) for path in glob.glob(os.path.join(config, name))
        if _host.read_text(path).startswith(_host.UNIT_MARK)
    ]
    kernel = [path for path in _kernel.FILES if _host.read_text(path).startswith(_host.UNIT_MARK)]
    own = [os.path.join(places.config_dir, name) for name in ("weights.env", "netrc", "metrics.json")]
    own += [path for path in sorted(glob.glob(os.path.join(config, "tokens", "*"))) if _DIGEST.fullmatch(_safe_paths.read_text(path))]
    own += [path for path in sorted(glob.glob(os.path.join(config, "adapters", "*.json"))) if _adapters.read(path) is not None]
    brought = [path for path in sorted(glob.glob(os.path.join(config, "files", "*", "*"))) if _CONTENTS.fullmatch(os.path.basename(path))]
    return [*sorted(environments), *own, *brought, *kernel, *_SYSTEM, *sorted(glob.glob(CERTIFICATES))]


def _programs(places: Places) -> list[str]:
    library = os.path.join(places.install_dir, "lib")
    python = os.path.join(glob.escape(places.install_dir), "python")
    interpreters = [path for pattern in _INTERPRETERS for path in sorted(glob.glob(os.path.join(python, pattern)))]
    return [*_library.folders(library), *_library.former_programs(library), *interpreters]


def _links(places: Places) -> list[str]:
    return [path for install in _install_dirs(places) for path in _tools_in(install)]


def _install_dirs(places: Places) -> list[str]:
    return sorted({path.rstrip("/") for path in (places.install_dir, places.mirror_install_dir) if path})


def _tools_in(install: str) -> list[str]:
    found = [path for name in _TOOLS for path in sorted(glob.glob(os.path.join(glob.escape(install), "tools", f"{name}-[0-9]*")))]
    links = [path for path in sorted(glob.glob(os.path.join(glob.escape(install), "bin", "*"))) if os.path.islink(path)]
    # Remove a command's link before its target.
    return [*(path for path in links if os.readlink(path).startswith(os.path.join(install, "tools") + os.sep)), *found]


def _releases_of(places: Places) -> list[str]:
    return [os.path.join(places.releases_dir, name) for name in (*_releases.complete(places.releases_dir), *_releases.unfinished(places.releases_dir))]


def _caches(places: Places) -> list[str]:
    caches = glob.glob(os.path.join(glob.escape(places.cache_dir), "*"))
    inside = places.uv_cache_dir.startswith(places.cache_dir.rstrip("/") + "/")
    # A file system that is mounted there belongs to the administrator, and other hosts may share it.
    return [path for path in (*(path for path in sorted(caches) if _is_an_accounts(path)), *([places.uv_cache_dir] if inside else [])) if not _is_mounted(path)]


def _is_mounted(path: str) -> bool:
    """Whether something is mounted at a path or in it. Reads the kernel's list, the only source that also has bind mounts."""
    wanted = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), line.split()[4]) for line in file if line.count(" ") > 4]
    return any(point == wanted or point.startswith(wanted.rstrip("/") + "/") for point in points)


def _is_an_accounts(path: str) -> bool:
    """Whether a folder belongs to a service: to its account, or to root with the group of one.

    The group of all services does not count: the inventory may have set it to one of the host's, like C(users).
    """
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return found.st_uid in _uids() or (found.st_uid == 0 and found.st_gid in _gids())


def _uids() -> set[int]:
    return {entry.pw_uid for entry in _ours()}


def _gids() -> set[int]:
    return {entry.pw_gid for entry in _ours() if entry.pw_gecos.startswith(_accounts.MARK)}


def _ours() -> list[pwd.struct_passwd]:
    return [entry for entry in pwd.getpwall() if entry.pw_gecos.startswith(_accounts.MARK) or entry.pw_gecos in (DOWNLOADS, MIRROR)]


def _owner(path: str) -> int:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return -1


def linked_certificates() -> list[str]:
    """Return the links to managed certificates in the trust store; an interrupted run may have left them dangling."""
    return glob.glob(LINKED_CERTIFICATES)


def accounts(places: Places) -> list[str]:
    """Return the accounts to remove, those of services first: they are members of the others' group. The owners of weights that are kept stay."""
    keeps = not places.weights
    stay = {DOWNLOADS} if keeps and _safe_paths.exists(places.weights_dir) else set()
    stay |= {MIRROR} if keeps and _safe_paths.exists(places.mirror_dir) else set()
    return [entry.pw_name for entry in sorted(_ours(), key=lambda entry: (entry.pw_gecos in (DOWNLOADS, MIRROR), entry.pw_name)) if entry.pw_gecos not in stay]


def remove_account(name: str) -> None:
    """Remove an account with the group of the same name; no other group, since it may be the host's. Raises RuntimeError."""
    gid = pwd.getpwnam(name).pw_gid
    _accounts.delete(name)
    try:
        found = grp.getgrnam(name)
    except KeyError:
        return
    if found.gr_gid == gid and not found.gr_mem and gid not in {entry.pw_gid for entry in pwd.getpwall()}:
        _accounts.delete_group(name)


def group_left(places: Places) -> list[str]:
    """Return the group of all services when its name differs from their account's: then it is unknown who created it."""
    try:
        return [] if places.group == places.account else [grp.getgrnam(places.group).gr_name]
    except KeyError:
        return []


def folders(places: Places) -> list[str]:
    """Return the folders to remove when they are empty, inner ones first."""
    inner = [path for install in _install_dirs(places) for path in (*(os.path.join(install, name) for name in ("bin", "lib", "tools", "python")), install)]
    brought = os.path.join(places.config_dir, "files")
    others = [os.path.join(places.config_dir, name) for name in ("tokens", "adapters")]
    config = [*sorted(glob.glob(os.path.join(glob.escape(brought), "*"))), brought, *others, places.config_dir]
    return [
        places.releases_dir, *inner, *config, places.multi_node_ray_temp_dir, places.cache_dir, *(os.path.join(places.state_dir, name) for name in _STATE),
        *([places.weights_dir] if places.weights else []), places.state_dir,
    ]


def remove_empty(paths: t.Iterable[str]) -> list[str]:
    """Remove empty folders, and return what is left of the others. Keeps folders that are links or mount points."""
    left = []
    for path in paths:
        if os.path.islink(path) or os.path.ismount(path):
            left.append(path)
            continue
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            left += [os.path.join(path, name) for name in sorted(os.listdir(path))]
    # Folders that are not empty are represented by their contents.
    return [path for path in left if path not in paths]
