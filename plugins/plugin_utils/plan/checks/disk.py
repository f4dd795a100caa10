# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks: space for everything still missing, summed up by file system, and mounts that are writable and executable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from ..errors import PlanError
from ..inputs.facts import HostFacts, Mount
from ..placement.draft import HostDraft, ServiceDraft
from .base import check

UNITS = "/etc/systemd/system"
TEMPORARY = "/tmp"

# Files of a release and of its copy in uv's cache: about 45,000 in the CPU build, plus CUDA's headers.
_RELEASE_FILES = 80_000


@dataclass(frozen=True)
class Need:
    """Bytes (and files where there are many) that a run will write under a path, with the setting that names the path."""

    setting: str
    path: str
    bytes: int
    what: str
    services: tuple[str, ...]
    files: int = 0


@check(accept="disk", every_engine=True)
def disk_space_is_sufficient(host: HostDraft) -> Iterator[PlanError]:
    """Missing weights, releases and caches fit on their file systems together, with the reserve for weights."""
    if host.facts is None:
        return
    needs = [*_weights(host, host.facts), *_releases(host, host.facts)]
    mounts = {need.path: host.facts.mount_of(need.path) for need in needs}
    for mount in {found.mount: found for found in mounts.values() if found is not None}.values():
        there = [need for need in needs if mounts[need.path] == mount]
        yield from _room(host, mount, there)


def _room(host: HostDraft, mount: Mount, needs: list[Need]) -> Iterator[PlanError]:
    wanted = sum(need.bytes for need in needs)
    reserve = host.settings.weights_disk_reserve if any(need.setting == "weights_dir" for need in needs) else 0
    settings = list(dict.fromkeys(need.setting for need in needs))
    services = ", ".join(dict.fromkeys(name for need in needs for name in need.services))
    where = ", ".join(settings)
    value = ", ".join(dict.fromkeys(need.path for need in needs))
    if wanted + reserve > mount.free_bytes:
        sums = " and ".join(f"{need.what} {gigabytes(need.bytes)}" for need in needs)
        kept = f", {gigabytes(reserve)} must stay free" if reserve else ""
        why = f"{sums}{kept}, but {mount.mount} has {gigabytes(mount.free_bytes)} left"
        mirror = "; where a mirror has other file sizes than the Hub, set plan_check_disk: false" if "weights_dir" in settings else ""
        yield PlanError(host.name, services, where, value, why, f"free space, or set {' or '.join(settings)} to a larger file system{mirror}")
    files = sum(need.files for need in needs)
    if mount.free_files is not None and files > mount.free_files:
        why = f"the run will write about {files} files, and {mount.mount} has {mount.free_files} inodes left (df -i)"
        yield PlanError(host.name, services, where, value, why, f"remove files, or set {' or '.join(settings)} to another file system")


def _weights(host: HostDraft, facts: HostFacts) -> list[Need]:
    if not host.settings.plan_check_disk:
        return []
    missing: dict[str, int] = {}
    for draft in host.services:
        for weights in draft.all_weights:
            if weights.bytes and not weights.is_local and weights.path not in facts.weights:
                missing[weights.path] = max(0, weights.bytes - facts.partial_weights.get(weights.path, 0))
    if not missing:
        return []
    labels = tuple(draft.label for draft in host.services if any(weights.path in missing for weights in draft.all_weights))
    return [Need("weights_dir", host.settings.weights_dir, sum(missing.values()), "weights to download take", labels)]


def _missing_releases(host: HostDraft, facts: HostFacts) -> list[ServiceDraft]:
    """One service for each missing release."""
    return list({draft.release.name: draft for draft in host.services if draft.release.name not in facts.releases}.values())


def _releases(host: HostDraft, facts: HostFacts) -> list[Need]:
    drafts = _missing_releases(host, facts)
    if not drafts:
        return []
    settings, platforms = host.settings, host.tables.platforms
    size = sum(platforms.release_bytes["cpu" if draft.release.cpu else "cuda"] for draft in drafts)
    names = {draft.release.name for draft in drafts}
    new = [draft for draft in host.services if draft.release.name in names]
    labels = tuple(draft.label for draft in new)
    files = _RELEASE_FILES * len(drafts)
    needs = [Need("vllm_releases_dir", settings.vllm_releases_dir, size, "releases to build take about", labels, files)]
    if facts.mount_of(settings.vllm_uv_cache_dir) != facts.mount_of(settings.vllm_releases_dir):
        # On one file system the release's files are hard links to the cache.
        needs.append(Need("vllm_uv_cache_dir", settings.vllm_uv_cache_dir, size, "their copies in uv's cache take about", labels, files))
    caches = platforms.cache_bytes * len(new)
    needs.append(Need("host_cache_dir", settings.host_cache_dir, caches, "compiled kernels of services take up to", labels))
    return needs


@check(every_engine=True)
def mounts_are_writable(host: HostDraft) -> Iterator[PlanError]:
    """No directory that the roles write to is on a read-only mount."""
    if host.facts is None or not host.services:
        return
    settings = host.settings
    places = [(name, getattr(settings, name)) for name in (
        "host_config_dir", "host_install_dir", "host_state_dir", "host_cache_dir", "host_home", "vllm_releases_dir", "vllm_uv_cache_dir",
    )]
    if any(not weights.is_local for draft in host.services for weights in draft.all_weights):
        places.append(("weights_dir", settings.weights_dir))
    for name, path in [*places, ("", UNITS), ("", TEMPORARY)]:
        mount = host.facts.mount_of(path)
        if mount is not None and "ro" in mount.options:
            fix = f"mount {mount.mount} read-write" + (f", or set {name} to another file system" if name else "")
            yield PlanError(host.name, "", name or path, path, f"{mount.mount} is mounted read-only", fix)


@check(accept="noexec", every_engine=True)
def mounts_are_executable(host: HostDraft) -> Iterator[PlanError]:
    """No directory with programs or libraries is mounted noexec: Triton, Inductor and FlashInfer also load libraries that they compile."""
    if host.facts is None or not host.services:
        return
    settings = host.settings
    places = [
        ("host_install_dir", settings.host_install_dir, "uv and other tools run from there"),
        ("vllm_releases_dir", settings.vllm_releases_dir, "releases run from there"),
        ("host_cache_dir", settings.host_cache_dir, "Triton, Inductor and FlashInfer load compiled libraries from there"),
    ]
    missing = _missing_releases(host, host.facts)
    if any(draft.release.toolkit.source != "none" for draft in missing):
        places.append(("", TEMPORARY, "the CUDA smoke test loads compiled libraries from there"))
    for name, path, what in places:
        mount = host.facts.mount_of(path)
        if mount is not None and "noexec" in mount.options:
            fix = f"mount {mount.mount} without noexec" + (f", or set {name} to another file system" if name else "")
            yield PlanError(host.name, "", name or path, path, f"{what}, and {mount.mount} is mounted noexec", fix)


def gigabytes(count: int) -> str:
    """Bytes in GB (10^9 bytes), with one decimal."""
    return f"{count / 1e9:.1f} GB"
