# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify pre-staged weights: a directory, a mount or a prepared copy on the host. The program only reads them, and connects to no server.

Runs on the host as a systemd unit. Usage: fetch.local SPECIFICATION.json, with the keys that roles/weights/tasks/local.yml writes.

Each file is compared with the manifest that came with the weights: <path>.manifest.json beside the directory or manifest.json in it. Without a manifest
the first run trusts the files and reports that; later runs compare with its record. The record has size, modification time and sha256 of each file,
and is stored apart from the weights.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import sys
import threading
import time
import typing as t

from .._reading import read_json
from .._writing import replace_json
from .contents import CHUNK, File, digest, is_full
from .progress import Status, size_text

# The manifest's name in the directory itself.
MANIFEST = "manifest.json"


class VerifyError(Exception):
    """The weights failed verification: what is wrong, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def list_files(base: str) -> list[str]:
    """Return the paths of all files in a folder and its subfolders, without those of hidden folders (.git, .cache)."""
    found = []
    for folder, folders, names in os.walk(base, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.relpath(os.path.join(folder, name), base) for name in names]
    return sorted(found)


def expected_of(spec: dict[str, t.Any]) -> tuple[dict[str, File], str]:
    """Return the expected files by path, and the manifest or record that lists them; nothing when there is neither. Raises VerifyError."""
    for path in (f"{spec['path']}.manifest.json", os.path.join(spec["path"], MANIFEST), spec["record"]):
        if not os.path.exists(path):
            continue
        try:
            rows = {row["path"]: row for row in read_json(path)["files"]}
            if rows and all(len(row["sha256"]) == 64 and isinstance(row["size"], int) for row in rows.values()):
                return rows, path
        except (KeyError, TypeError):
            pass
        raise VerifyError(
            f"{path} is not a manifest: it has no list of files with path, size and sha256", "replace it with the manifest of these weights, or remove it",
        )
    return {}, ""


def entry_of(base: str, path: str) -> File:
    """Hash a file: its entry in the record. Raises OSError."""
    whole = os.path.join(base, path)
    before, sha256 = os.stat(whole), hashlib.sha256()
    with open(whole, "rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
    return {"path": path, "size": before.st_size, "sha256": sha256.hexdigest(), "mtime_ns": before.st_mtime_ns}


def difference(expected: File, found: File | None) -> str:
    """Return how a file differs from what is expected, or nothing."""
    if found is None:
        return f"{expected['path']} is missing"
    if found["size"] != expected["size"]:
        return f"{expected['path']} has {found['size']} bytes instead of {expected['size']}"
    if found["sha256"] != expected["sha256"]:
        return f"{expected['path']} has a different sha256"
    return ""


def hash_all(base: str, paths: list[str], status: Status) -> dict[str, File]:
    """Hash files in parallel and report progress; return their entries by path. Raises OSError."""
    total = sum(os.path.getsize(os.path.join(base, path)) for path in paths)
    done: list[int] = []
    lock = threading.Lock()

    def one(path: str) -> File:
        entry = entry_of(base, path)
        with lock:
            done.append(entry["size"])
            status.progress(sum(done), total, "verifying")
        return entry

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return {entry["path"]: entry for entry in pool.map(one, paths)}


def verify(spec: dict[str, t.Any], status: Status) -> dict[str, t.Any]:
    """Compare the directory with the expected files, and return the record. Raises VerifyError and OSError."""
    base = spec["path"]
    if spec["mount"] and not os.path.ismount(spec["mount"]):
        raise VerifyError(f"nothing is mounted at {spec['mount']}", "mount it and run the playbook again")
    expected, where = expected_of(spec)
    there = set(list_files(base))
    found = hash_all(base, sorted(there & set(expected) if expected else there), status)
    wrong = [said for said in (difference(row, found.get(path)) for path, row in sorted(expected.items())) if said]
    if wrong:
        many = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        own = where == spec["record"]
        raise VerifyError(
            f"{base} does not match {where}: {'; '.join(wrong[:5])}{many}",
            f"copy the weights to the host again; if they were changed on purpose, remove {where} on the host" if own
            else "copy the weights to the host again, or the manifest that belongs to them",
        )
    if not expected:
        print(f"{base} has no manifest: its {len(found)} files are trusted as they are now", flush=True)
    entries = sorted(found.values(), key=lambda entry: entry["path"])
    return {
        "path": base, "repo": spec["repo"], "revision": spec["revision"], "manifest": where if where != spec["record"] else "",
        "digest": digest(entries), "total_bytes": sum(entry["size"] for entry in entries), "files": entries,
    }


def main() -> int:
    """Verify what the specification names; report to systemd by the exit status and to the play by the status file."""
    spec = read_json(sys.argv[1])
    status = Status(spec["status_file"])
    start = time.monotonic()
    try:
        status.write(text="starting")
        record = verify(spec, status)
        replace_json(spec["record"], record, durable=True, indent=1)
    except VerifyError as error:
        status.write(text="failed", error=str(error), fix=error.fix)
        print(f"{error}. Fix: {error.fix}", flush=True)
        return 3
    except OSError as error:
        fix = "free disk space" if is_full(error) else "make sure that the account of the services may read the files"
        status.write(text="failed", error=str(error), fix=f"{fix}, and run the playbook again")
        print(error, flush=True)
        return 1
    total = record["total_bytes"]
    first = "" if record["manifest"] else ", trusted on first use because they have no manifest"
    status.write(text=f"verified: {size_text(total)} in {time.monotonic() - start:.0f} s{first}", bytes=total, total_bytes=total, first_sight=bool(first))
    print(f"{spec['path']}: {len(record['files'])} files, {total} bytes verified in {time.monotonic() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
