# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on a host: which of them are needed, how large they are, and their atomic removal."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import typing as t

# Prefixes of folders that are not a complete release: they may be removed when no build or removal uses them.
BUILDING = ".building-"
REMOVING = ".removing-"
RECORD = "release.json"
BUILD_UNIT = re.compile(r"inferops-release-(.+)\.service")

# Sources in /proc/PID: command line and mapped files; program and working directory.
_PROCESS_FILES = ("cmdline", "maps")
_PROCESS_LINKS = ("exe", "cwd")


def ours(directory: str) -> dict[str, float]:
    """Return the verified releases by name, with the time (seconds since 1970) at which each was last known to be used.

    A folder whose record has another name was not built there, or has been replaced.
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
    """Return the names of the verified releases."""
    return sorted(ours(directory))


def unfinished(directory: str) -> list[str]:
    """Return the names of the folders that a build or a removal uses or has left."""
    prefixes = (BUILDING, REMOVING)
    return sorted(name for name in os.listdir(directory) if name.startswith(prefixes)) if os.path.isdir(directory) else []


def builds(units: str) -> list[str]:
    """Return the releases that have a build unit."""
    names = (BUILD_UNIT.fullmatch(os.path.basename(path)) for path in glob.glob(os.path.join(glob.escape(units), "inferops-release-*.service")))
    return sorted(match[1] for match in names if match)


def named_in(texts: t.Iterable[str], directory: str) -> set[str]:
    """Return the names of entries of the directory whose paths appear in the texts."""
    pattern = re.compile(re.escape(directory.rstrip("/")) + r"/([^/\s\0'\"]+)")
    return {name for text in texts for name in pattern.findall(text)}


def used_by_processes(directory: str, processes: str = "/proc") -> set[str]:
    """Return the releases that running processes use: as program, in the command line, as working directory or as mapped files. Needs root."""
    return named_in(_process_texts(processes), directory)


def _process_texts(processes: str) -> t.Iterator[str]:
    for folder in glob.iglob(os.path.join(processes, "[0-9]*")):
        for name in _PROCESS_FILES:
            try:
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    yield file.read()
            except OSError:
                # The process has ended, or is a kernel thread.
                continue
        for name in _PROCESS_LINKS:
            try:
                yield os.readlink(os.path.join(folder, name))
            except OSError:
                continue


def mark_used(directory: str) -> None:
    """Record for all running releases that they are in use now, so that they count as newer than releases that were never used."""
    for name in used_by_processes(directory) & set(complete(directory)):
        os.utime(os.path.join(directory, name, RECORD))


def size(path: str) -> int:
    """Return the bytes that the removal of a folder frees: without files that uv's cache shares by hard links."""
    total = 0
    for folder, _folders, names in os.walk(path):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            if found.st_nlink == 1:
                total += found.st_blocks * 512
    return total


def surplus(found: dict[str, float], named: set[str], needed: set[str], keep: int) -> list[str]:
    """Return the releases to remove, so that C(keep) of the releases that no service names are left, and all that are needed.

    C(found) has the time of last use by name. Needed releases count towards C(keep); of the others the newest are kept.
    """
    unnamed = set(found) - named
    newest = sorted(unnamed - needed, key=lambda name: (found[name], name), reverse=True)
    return sorted(newest[max(0, keep - len(unnamed & needed)):])


def remove(directory: str, name: str) -> None:
    """Remove a folder. It is renamed first, so that after an interruption the rest is not mistaken for a release."""
    leaving = os.path.join(directory, REMOVING + name.lstrip("."))
    shutil.rmtree(leaving, ignore_errors=True)
    os.rename(os.path.join(directory, name), leaving)
    shutil.rmtree(leaving)
