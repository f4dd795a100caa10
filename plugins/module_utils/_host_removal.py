# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection has put on a host, found by its marks and names, and how each of it goes. What bears none of them is left and reported.

Folders are variables of the inventory and may hold what is others': of each only what is known to be ours goes, and the folder itself when it is
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

from . import _accounts, _host, _library, _prune, _releases, _safe_paths, _systemd, _writing
from ._kernel import files as _kernel

# Comments of accounts that are not a service's (roles/host, roles/weights_mirror).
DOWNLOADS, MIRROR = "inferops model services", "inferops mirror of the Hugging Face Hub"
_TOOLS = ("uv", "huggingface_hub", "olah")
CERTIFICATES = "/usr/local/share/ca-certificates/inferops-*.crt"
LINKED_CERTIFICATES = "/etc/ssl/certs/inferops-*.pem"
_UNITS = ("vllm-*.service", "ray-head-*.service", "ray-worker-*.service", "inferops-*.service", "inferops-*.timer")
# Of the folder of what is known of a host: names of what is ours in each folder there.
_STATE = {
    "checked": ("*",), "jobs": ("inferops-*.json", "inferops-share.conf", "release-*.json", "release-*.json.new"),
    "served": ("*.json", "*.json.new", ".*.json.new"),
    "progress": ("inferops-*.json", "inferops-*.json.new"),
    "failures": ("vllm-*", "ray-head-*", "ray-worker-*"), "verified": ("*.json", "*.json.new"),
    "firewall": ("before-first-change", "before-first-change.partial", "former", "former.partial", "returned", "return.sh", "lock"),
}
_DIGEST = re.compile(r"[0-9a-f]{16,64}\s*")
_TEMPORARY = ("/run/inferops", "/run/inferops-supervisor", "/run/inferops-span", "/run/inferops-share", "/dev/shm/inferops-*")
_SYSTEM = (
    "/etc/apt/sources.list.d/inferops-cuda.sources", "/etc/apt/keyrings/inferops-cuda.asc", "/etc/apt/keyrings/inferops-cuda.gpg",
    "/etc/apt/apt.conf.d/90inferops-proxy", "/etc/apt/apt.conf.d/90inferops-mirror-proxy",
    # With the proxy's password.
    "/etc/apt/auth.conf.d/90inferops-proxy.conf", "/etc/apt/auth.conf.d/90inferops-mirror-proxy.conf", "/etc/inferops-mirror-proxy.env",
    "/etc/inferops-mirror.toml",
)
# Of a service's files that came from the controller: folders named by their contents.
_CONTENTS = re.compile(r"[0-9a-f]{16}")
# Interpreters that uv has brought, and what it keeps beside them.
_INTERPRETERS = ("cpython-*", "pypy-*", "graalpy-*", ".lock", ".temp", ".gitignore")


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a host has what, as the inventory says it. C(weights) is whether weights go too."""

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
    """Return our units, those that look after others last."""
    found = [path for pattern in _UNITS for path in sorted(glob.glob(os.path.join(_host.UNIT_DIRECTORY, pattern)))]
    return [os.path.basename(path) for path in found if _host.read_text(path).startswith(_host.UNIT_MARK)]


def remove_unit(unit: str) -> None:
    """Stop a unit with all of its processes, and take it away. Raises RuntimeError with systemctl's words."""
    _systemd.systemctl("disable", "--quiet", "--now", unit)
    if _systemd.show(unit, "ActiveState")["ActiveState"] == "failed":
        _systemd.systemctl("reset-failed", unit)
    _safe_paths.remove(os.path.join(_host.UNIT_DIRECTORY, unit))


def weights(places: Places) -> list[_prune.Found]:
    """Return the weights that were downloaded, complete and unfinished ones."""
    try:
        return [_prune.Found(*row) for row in _accounts.as_account(places.account, _prune.find, places.weights_dir)]
    except (KeyError, OSError):
        return []


def files(places: Places) -> list[str]:
    """Return the files and folders that go, whole, as paths; weights and empty folders are not among them."""
    known = [*_text_files(places), *_programs(places), *_links(places), *_releases_of(places), *_caches(places)]
    ray = [path for path in glob.glob(os.path.join(glob.escape(places.multi_node_ray_temp_dir), "*")) if _is_an_accounts(path)]
    temporary = [path for pattern in _TEMPORARY for path in sorted(glob.glob(pattern))]
    mirror = [places.mirror_dir] if places.weights and _owner(places.mirror_dir) in _uids() else []
    return [path for path in [*known, *_state(places), *ray, *temporary, *mirror] if _safe_paths.exists(path)]


def _state(places: Places) -> list[str]:
    """What is known of the host, without what somebody else has put into folders of the same names."""
    found = [
        (folder, path) for folder, names in _STATE.items() for name in names
        for path in sorted(glob.glob(os.path.join(glob.escape(places.state_dir), folder, name)))
    ]
    return [path for folder, path in found if _is_state(folder, path)]


def _is_state(folder: str, path: str) -> bool:
    """Whether something that has the name of a state is one, where the name alone does not tell."""
    if folder == "failures":
        return _is_an_accounts(path)
    if folder == "checked":
        return _DIGEST.fullmatch(_safe_paths.read_text(path)) is not None
    # What a write that was cut off has left bears a name that nobody else uses.
    if folder in ("served", "verified") and not path.endswith(".new"):
        try:
            record = json.loads(_safe_paths.read_text(path))
        except (ValueError, RecursionError):
            return False
        return isinstance(record, dict) and ("unit_text" in record if folder == "served" else "files" in record and "path" in record)
    return True


def _text_files(places: Places) -> list[str]:
    config = glob.escape(places.config_dir)
    environments = [
        path for name in ("*.env", "*.env" + _writing.UNFINISHED) for path in glob.glob(os.path.join(config, name))
        if _host.read_text(path).startswith(_host.UNIT_MARK)
    ]
    kernel = [path for path in _kernel.FILES if _host.read_text(path).startswith(_host.UNIT_MARK)]
    own = [os.path.join(places.config_dir, name) for name in ("weights.env", "netrc")]
    own += [path for path in sorted(glob.glob(os.path.join(config, "tokens", "*"))) if _DIGEST.fullmatch(_safe_paths.read_text(path))]
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
    # A command goes before what it leads to.
    return [*(path for path in links if os.readlink(path).startswith(os.path.join(install, "tools") + os.sep)), *found]


def _releases_of(places: Places) -> list[str]:
    return [os.path.join(places.releases_dir, name) for name in (*_releases.complete(places.releases_dir), *_releases.unfinished(places.releases_dir))]


def _caches(places: Places) -> list[str]:
    caches = glob.glob(os.path.join(glob.escape(places.cache_dir), "*"))
    inside = places.uv_cache_dir.startswith(places.cache_dir.rstrip("/") + "/")
    # A file system that is mounted there is whoever's mounted it, who may share it with other hosts.
    return [path for path in (*(path for path in sorted(caches) if _is_an_accounts(path)), *([places.uv_cache_dir] if inside else [])) if not _is_mounted(path)]


def _is_mounted(path: str) -> bool:
    """Whether something is mounted at a path or below it. As the kernel tells: of a bind mount nothing else does."""
    wanted = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), line.split()[4]) for line in file if line.count(" ") > 4]
    return any(point == wanted or point.startswith(wanted.rstrip("/") + "/") for point in points)


def _is_an_accounts(path: str) -> bool:
    """Whether a folder is that of a service: its account's, or root's for the group of one.

    Not for the group of all services, which the inventory may have set to one of the host's, like C(users).
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
    """Return the links that trust in our certificates is made of; a run that died may have left them without their files."""
    return glob.glob(LINKED_CERTIFICATES)


def accounts(places: Places) -> list[str]:
    """Return the accounts that go, services' first: they are members of the group of the others. Those that own weights which stay are kept with them."""
    keeps = not places.weights
    stay = {DOWNLOADS} if keeps and _safe_paths.exists(places.weights_dir) else set()
    stay |= {MIRROR} if keeps and _safe_paths.exists(places.mirror_dir) else set()
    return [entry.pw_name for entry in sorted(_ours(), key=lambda entry: (entry.pw_gecos in (DOWNLOADS, MIRROR), entry.pw_name)) if entry.pw_gecos not in stay]


def remove_account(name: str) -> None:
    """Take an account away with the group of its own name, which came with it; no other group, since it may be the host's. Raises RuntimeError."""
    gid = pwd.getpwnam(name).pw_gid
    _accounts.delete(name)
    try:
        found = grp.getgrnam(name)
    except KeyError:
        return
    if found.gr_gid == gid and not found.gr_mem and gid not in {entry.pw_gid for entry in pwd.getpwall()}:
        _accounts.delete_group(name)


def group_left(places: Places) -> list[str]:
    """Return the group of all services where it has another name than their account, so that nobody knows who made it."""
    try:
        return [] if places.group == places.account else [grp.getgrnam(places.group).gr_name]
    except KeyError:
        return []


def folders(places: Places) -> list[str]:
    """Return the folders that go when they are empty, inner ones first."""
    inner = [path for install in _install_dirs(places) for path in (*(os.path.join(install, name) for name in ("bin", "lib", "tools", "python")), install)]
    brought = os.path.join(places.config_dir, "files")
    config = [*sorted(glob.glob(os.path.join(glob.escape(brought), "*"))), brought, os.path.join(places.config_dir, "tokens"), places.config_dir]
    return [
        places.releases_dir, *inner, *config, places.multi_node_ray_temp_dir, places.cache_dir, *(os.path.join(places.state_dir, name) for name in _STATE),
        *([places.weights_dir] if places.weights else []), places.state_dir,
    ]


def remove_empty(paths: t.Iterable[str]) -> list[str]:
    """Remove folders that are empty, and return what is left of the others. A folder that is a link, or on a disk of its own, is left."""
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
    # What is in one that is left is named there.
    return [path for path in left if path not in paths]
