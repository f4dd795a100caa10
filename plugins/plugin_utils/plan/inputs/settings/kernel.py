# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings: what the user asks for, what a host has of it, and what the role is to do."""

from __future__ import annotations

import math
import re

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.inferops.gpu.plugins.module_utils._kernel import keys
from ansible_collections.inferops.gpu.plugins.module_utils._kernel.wanted import Wanted

from ... import values
from ...errors import Bad, PlanError, did_you_mean, kind, shown

if TYPE_CHECKING:
    from . import Settings

SYSCTL = "kernel_sysctl"
HUGEPAGES = ("always", "madvise", "never")
MODULES = ("nf_conntrack",)

# A GPU server answers many short connections from few addresses. docs/kernel.md has the reasons and the sources.
_CONNECTIONS = {
    "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "30",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
}

_GOVERNOR = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MEMLOCK = re.compile(r"@?[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_LONGEST_VALUE = 1024


@dataclass(frozen=True)
class Parameter:
    """What a host says of a kernel parameter. C(absence) is why one that is not there may be right all the same, C(near) the names that are
    like one that can only be a mistake, C(rivals) the values that other files give it after ours (None: they take it out)."""

    value: str | None
    exists: bool
    absence: str
    near: tuple[str, ...]
    rivals: tuple[str | None, ...]


@dataclass(frozen=True)
class KernelFacts:
    """What a host has of kernel settings: C(files) are the texts of ours."""

    files: dict[str, str]
    modules: frozenset[str]
    sysctl: dict[str, Parameter]
    transparent_hugepages: str
    governors: tuple[str, ...]
    available_governors: tuple[str, ...]


def hugepages(value: Any) -> str:
    """A word for transparent huge pages."""
    read = values.text(value)
    if read not in HUGEPAGES:
        raise Bad("the kernel does not know this word", did_you_mean(read, HUGEPAGES, f"write {', '.join(HUGEPAGES)}"))
    return read


def governor(value: Any) -> str:
    """The name of a governor. Which ones there are depends on the driver, so the host is asked."""
    read = values.text(value)
    if not _GOVERNOR.fullmatch(read):
        raise Bad("this is not the name of a governor", "write one that the CPUs offer, such as performance, powersave or schedutil")
    return read


def memlock_users(value: Any) -> tuple[str, ...]:
    """Users, and groups with @ before them, as limits.conf takes them. root has no need of it."""
    read = values.texts(value)
    for name in read:
        if not _MEMLOCK.fullmatch(name):
            raise Bad(f"{shown(name)} is not the name of a user or, with @ before it, of a group", "write names like alice or @researchers")
    return tuple(dict.fromkeys(read))


def read_sysctl(host: str, raw: Any) -> tuple[dict[str, str | None], list[PlanError]]:
    """The user's parameters by their name with dots, null for one that is taken away. What cannot be used is left out and an error."""
    try:
        pairs = values.mapping(raw)
    except Bad as bad:
        return {}, [PlanError(host, "", SYSCTL, shown(raw), bad.why, bad.fix)]
    found: dict[str, str | None] = {}
    errors = []
    for name, value in pairs.items():
        try:
            key = _name(name)
            if key in found:
                raise Bad(f"{key} stands there twice, under two spellings of its name", "keep one of them")
            found[key] = None if value is None else _value(value)
        except Bad as bad:
            errors.append(PlanError(host, "", f"{SYSCTL}.{name}", shown(value, name), bad.why, bad.fix))
    return found, errors


def _name(name: str) -> str:
    if keys.is_pattern(name):
        raise Bad("a pattern says nothing about which parameters are meant", "write out each name, like net.ipv4.conf.all.rp_filter")
    if not keys.is_name(name):
        raise Bad("this is not the name of a kernel parameter", "write it as sysctl shows it, like net.core.somaxconn")
    return keys.canonical(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        raise Bad("YAML read this as true or false, and the kernel takes numbers", "write 1 or 0")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if not isinstance(value, str):
        raise Bad(f"this is {kind(value)} where a number or text belongs", 'write a number, or text like "4096 131072 6291456"')
    text = keys.plain(values.text(value.replace("\t", " ")))
    if not text or len(text) > _LONGEST_VALUE:
        raise Bad(f"it is empty or longer than {_LONGEST_VALUE} letters", "write a value; null takes the parameter away")
    return text


def wanted(settings: Settings) -> Wanted:
    """Everything that a host is to have: this collection's values, and the user's over them."""
    buckets = settings.kernel_conntrack_buckets or settings.kernel_conntrack_max
    sysctl: dict[str, str | None] = {
        "net.netfilter.nf_conntrack_buckets": str(buckets),
        "net.netfilter.nf_conntrack_max": str(settings.kernel_conntrack_max),
        **_CONNECTIONS,
    }
    if settings.kernel_socket_buffer_max is not None:
        most = settings.kernel_socket_buffer_max
        # Of the three the kernel's own first two: the least, and what a socket begins with.
        sysctl.update({
            "net.core.rmem_max": str(most),
            "net.core.wmem_max": str(most),
            "net.ipv4.tcp_rmem": f"4096 131072 {most}",
            "net.ipv4.tcp_wmem": f"4096 16384 {most}",
        })
    if settings.kernel_swappiness is not None:
        sysctl["vm.swappiness"] = str(settings.kernel_swappiness)
    sysctl.update(settings.kernel_sysctl)
    # The number of buckets, however the user gave it, is also the one that the module begins with. What is none would keep it from loading.
    hashsize = sysctl["net.netfilter.nf_conntrack_buckets"] or ""
    return Wanted(
        sysctl={key: value for key, value in sysctl.items() if value is not None},
        modules=MODULES,
        module_options={"nf_conntrack": f"hashsize={hashsize}"} if hashsize.isdigit() else {},
        transparent_hugepages=settings.kernel_transparent_hugepages or "",
        cpu_governor=settings.kernel_cpu_governor or "",
        memlock_users=settings.kernel_memlock_users,
    )


def document(settings: Settings, facts: KernelFacts | None) -> dict[str, Any]:
    """The part of the plan that the role kernel reads. C(needed) is whether it has anything to do or to say."""
    if not settings.kernel_enabled:
        return {"enabled": False, "needed": False}
    whole = wanted(settings)
    made = asdict(whole)
    return {"enabled": True, "needed": facts is None or not is_so(whole, facts), **{key: _listed(value) for key, value in made.items()}}


def is_so(whole: Wanted, facts: KernelFacts) -> bool:
    """Whether a host has everything as it is wanted, in force and for the next boot, and nothing else has the last word on it."""
    texts = {path: text for path, text in whole.files().items() if text}
    return (
        facts.files == texts
        and facts.modules.issuperset(whole.modules)
        and all(_is_set(key, value, facts.sysctl.get(key)) for key, value in whole.sysctl.items())
        and whole.transparent_hugepages in ("", facts.transparent_hugepages)
        and whole.cpu_governor in ("", *facts.governors)
        and (not whole.cpu_governor or len(facts.governors) == 1)
    )


def _is_set(key: str, value: str, found: Parameter | None) -> bool:
    return found is not None and keys.same(key, value, found.value) and all(rival is not None and keys.same(key, value, rival) for rival in found.rivals)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def read_facts(raw: Any) -> KernelFacts | None:
    """Facts from the C(kernel) of host_facts, taken leniently; None where there are none."""
    if not isinstance(raw, Mapping):
        return None
    sysctl = raw.get("sysctl")
    files = raw.get("files")
    return KernelFacts(
        files={path: text for path, text in files.items() if isinstance(text, str)} if isinstance(files, Mapping) else {},
        modules=frozenset(_texts(raw.get("modules"))),
        sysctl={key: _parameter(row) for key, row in sysctl.items() if isinstance(row, Mapping)} if isinstance(sysctl, Mapping) else {},
        transparent_hugepages=_text(raw.get("transparent_hugepages")),
        governors=_texts(raw.get("governors")),
        available_governors=_texts(raw.get("available_governors")),
    )


def _parameter(row: Mapping[str, Any]) -> Parameter:
    value = row.get("value")
    rivals = row.get("rivals")
    rows = [rival for rival in rivals if isinstance(rival, Mapping)] if isinstance(rivals, (list, tuple)) else []
    return Parameter(
        value=value if isinstance(value, str) else None,
        exists=bool(row.get("exists")),
        absence=_text(row.get("absence")),
        near=_texts(row.get("near")),
        rivals=tuple(rival["value"] if isinstance(rival.get("value"), str) else None for rival in rows),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()
