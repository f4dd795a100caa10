# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases as they stand on a host: which of them something needs, how large they are, and how one goes without ever being half there."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import typing as t

# What a folder of the releases' directory is called while it is not a release: it may be removed when nobody works on it.
BUILDING = ".building-"
REMOVING = ".removing-"
RECORD = "release.json"
BUILD_UNIT = re.compile(r"inferops-release-(.+)\.service")

# Of a process: what it was started with, where it is, and the files that it has mapped.
_PROCESS_FILES = ("cmdline", "maps")
_PROCESS_LINKS = ("exe", "cwd")


def ours(directory: str) -> dict[str, float]:
    """Return the releases that were built and verified, by name, with the time (seconds since 1970) at which each was last known to be used.

    A folder whose record does not bear its name was not made here, or is not what it was.
    """
    found = {}
    for path in glob.glob(os.path.join(glob.escape(directory), "*", RECORD)):
        folder = os.path.dirname(path)
        try:
            with open(path, encoding="utf-8") as file:
                record = json.load(file)
            used = os.stat(path).st_mtime
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("name") == os.path.basename(folder) and not os.path.islink(folder):
            found[os.path.basename(folder)] = used
    return found


def complete(directory: str) -> list[str]:
    """Return the names of the releases that were built and verified."""
    return sorted(ours(directory))


def unfinished(directory: str) -> list[str]:
    """Return the names of the folders that a build or a removal has left, or is at work on."""
    prefixes = (BUILDING, REMOVING)
    return sorted(name for name in os.listdir(directory) if name.startswith(prefixes)) if os.path.isdir(directory) else []


def builds(units: str) -> list[str]:
    """Return the releases that there is a unit of a build for."""
    names = (BUILD_UNIT.fullmatch(os.path.basename(path)) for path in glob.glob(os.path.join(glob.escape(units), "inferops-release-*.service")))
    return sorted(match[1] for match in names if match)


def named_in(texts: t.Iterable[str], directory: str) -> set[str]:
    """Return the names of what lies in the directory, as far as the texts name something there."""
    pattern = re.compile(re.escape(directory.rstrip("/")) + r"/([^/\s\0'\"]+)")
    return {name for text in texts for name in pattern.findall(text)}


def used_by_processes(directory: str, processes: str = "/proc") -> set[str]:
    """Return the releases that running processes were started from, are in, or have files of mapped. Needs root to see all of them."""
    return named_in(_process_texts(processes), directory)


def _process_texts(processes: str) -> t.Iterator[str]:
    for folder in glob.iglob(os.path.join(processes, "[0-9]*")):
        for name in _PROCESS_FILES:
            try:
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    yield file.read()
            except OSError:
                # It has ended meanwhile, or is a thread of the kernel.
                continue
        for name in _PROCESS_LINKS:
            try:
                yield os.readlink(os.path.join(folder, name))
            except OSError:
                continue


def mark_used(directory: str) -> None:
    """Note of the releases that run now that they were used until now, so that they count as newer than what was built and never used."""
    for name in used_by_processes(directory) & set(complete(directory)):
        os.utime(os.path.join(directory, name, RECORD))


def size(path: str) -> int:
    """Return the bytes of disk that go free when a folder goes: not those that uv's cache has as well, by a hard link."""
    total = 0
    for folder, _folders, names in os.walk(path):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            if found.st_nlink == 1:
                total += found.st_blocks * 512
    return total


def surplus(found: dict[str, float], named: set[str], needed: set[str], keep: int) -> list[str]:
    """Return the releases that may go, so that of those that no service names C(keep) are left, and all that are needed.

    C(found) has the time of last use by name. Those that are needed count among those that are kept; the others are kept newest first.
    """
    unnamed = set(found) - named
    newest = sorted(unnamed - needed, key=lambda name: (found[name], name), reverse=True)
    return sorted(newest[max(0, keep - len(unnamed & needed)):])


def remove(directory: str, name: str) -> None:
    """Take a folder away. It loses its name first, so that whatever dies meanwhile, nothing takes what is left for a release."""
    leaving = os.path.join(directory, REMOVING + name.lstrip("."))
    shutil.rmtree(leaving, ignore_errors=True)
    os.rename(os.path.join(directory, name), leaving)
    shutil.rmtree(leaving)
