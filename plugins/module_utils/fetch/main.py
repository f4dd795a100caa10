# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download one revision of a model, verify every file, and only then give the directory its final name.

Runs on the host as a systemd unit. Usage: fetch SPECIFICATION.json, with the keys that roles/weights/tasks/fetch.yml writes.
The files are written to <path>.partial; when each has the size and hash of the Hub's metadata, the directory gets its final name and
a manifest beside it. The manifest marks the weights as complete. After a kill at any point the next start continues the download.

When the final directory exists already (a start that died before it wrote the manifest, or a file that was changed since), right files
stay, and wrong files are fetched into <path>.partial and replaced.

Exit status 0: complete. 3: failed, and a restart would not help. Anything else: a restart may help.
"""

from __future__ import annotations

import os
import sys
import time
import typing as t

from .._hub_answers import BadAnswer, commit, files
from .._reading import read_json
from .._writing import replace_json
from .contents import File, Record, digest, entry_of, is_full
from .download import Download, FetchError
from .peer import endpoints_of, export_of
from .progress import Status, size_text
from .tools import Curl

FAILED = 3
# How long an endpoint that was too slow is deprioritised, as a multiple of the time over which the rate is measured.
SLOW_TIMES = 10
# Seconds between two checks of a full disk; an attempt that takes longer than the second number restarts the stall timeout.
FULL_LOOK = 5.0
FULL_ANEW = 60.0


def verified(base: str, record: Record, files: list[File], status: Status) -> list[File]:
    """Verify the files of the final directory, and hash those that the manifest does not list unchanged; return the entries of the right ones."""
    entries = []
    for file in files:
        entry = record.holds(base, file)
        if entry is None and os.path.isfile(os.path.join(base, file["path"])):
            status.write(text=f"verifying {file['path']}")
            entry = entry_of(base, file)
        if entry is not None:
            entries.append(entry)
    return entries


def patterns(spec: dict[str, t.Any]) -> dict[str, list[str]]:
    """The patterns that select files of the repository; with other patterns the directory is checked again."""
    return {key: spec.get(key, []) for key in ("include", "exclude")}


def publish(spec: dict[str, t.Any], partial: str, entries: list[File]) -> None:
    """Give verified files their final name, then write the manifest."""
    path = spec["path"]
    if os.path.isdir(partial):
        known = {entry["path"] for entry in entries}
        for folder, _folders, names in os.walk(partial, topdown=False):
            for name in names:
                whole = os.path.join(folder, name)
                inside = os.path.relpath(whole, partial)
                if inside not in known:
                    # From an earlier selection of files, or from another client.
                    os.unlink(whole)
                elif os.path.isdir(path):
                    os.makedirs(os.path.dirname(os.path.join(path, inside)), exist_ok=True)
                    os.replace(whole, os.path.join(path, inside))
            if not os.listdir(folder) and (os.path.isdir(path) or folder != partial):
                os.rmdir(folder)
        if not os.path.isdir(path):
            os.rename(partial, path)
    replace_json(spec["manifest"], {
        **{key: spec[key] for key in ("repo", "revision", "commit", "endpoint")},
        **patterns(spec), "digest": digest(entries), "total_bytes": sum(entry["size"] for entry in entries),
        "files": sorted(entries, key=lambda entry: entry["path"]),
    }, durable=True, indent=1)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def check_names(base: str, entries: list[File]) -> None:
    """Check that all files are separate: on a case-insensitive file system Readme and README are the same file. Raises FetchError."""
    known: dict[str, str] = {}
    for entry in entries:
        other = known.setdefault(entry["path"].casefold(), entry["path"])
        if other != entry["path"] and os.path.samefile(os.path.join(base, other), os.path.join(base, entry["path"])):
            raise FetchError(f"{other} and {entry['path']} are the same file on this file system", "set weights_dir to a case-sensitive file system")


def fetch(spec: dict[str, t.Any], token: str, status: Status) -> None:
    """Download the weights and publish them; continues what an earlier start has left. Raises FetchError."""
    partial, notes = spec["path"] + ".partial", spec["path"] + ".verified.json"
    there: list[File] = []
    export = export_of(spec)
    if os.path.isdir(spec["path"]):
        there = verified(spec["path"], Record(spec["manifest"]), spec["files"], status)
    for entry in there:
        export.put(spec["path"], entry)
    have = {entry["path"] for entry in there}
    missing = [file for file in spec["files"] if file["path"] not in have]
    if missing:
        os.makedirs(partial, exist_ok=True)
        record = Record(notes)
        done = [entry for entry in (record.holds(partial, file) for file in missing) if entry]
        names = {entry["path"] for entry in done}
        rest = [file for file in missing if file["path"] not in names]
        for entry in done:
            export.put(partial, entry)
        if rest:
            endpoints = endpoints_of(spec, token, spec["rate_seconds"] * SLOW_TIMES)
            status.write(text="probing the endpoints")
            endpoints.probe(spec["repo"], spec["commit"], max(rest, key=lambda file: file["size"]))
            Download(spec, partial, rest, record, endpoints, Curl(spec, partial), status).run()
        check_names(partial, missing)
        there += [record.entries[file["path"]] for file in missing]
    manifest = read_json(spec["manifest"])
    same = all(manifest.get(key) == value for key, value in patterns(spec).items())
    if same and not missing and manifest.get("files") == sorted(there, key=lambda entry: entry["path"]):
        return
    publish(spec, partial, there)
    if os.path.exists(notes):
        os.unlink(notes)


def fetch_with_room(spec: dict[str, t.Any], token: str, status: Status) -> None:
    """Call C(fetch), but wait until a full disk has free space again, for the stall timeout at most. Raises FetchError."""
    since: float | None = None
    while True:
        began = time.monotonic()
        try:
            fetch(spec, token, status)
            return
        except OSError as error:
            if not is_full(error):
                raise
            now = time.monotonic()
            since = now if since is None or now - began > FULL_ANEW else since
            if now - since >= spec["stall_timeout"]:
                raise FetchError(f"the disk is full: {error}", "free disk space and run the playbook again; it continues the download") from error
            print(f"the disk is full; waiting for free space ({error})", flush=True)
            status.write(text="the disk is full; waiting for free space")
            time.sleep(min(FULL_LOOK, spec["stall_timeout"]))


def checked(spec: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the specification after validation of commit and files, which come from an endpoint. Raises FetchError."""
    try:
        return {**spec, "commit": commit(spec["commit"]), "files": files(spec["files"])}
    except BadAnswer as error:
        raise FetchError(f"the endpoint's metadata of the repository is not valid: {error}", "put another endpoint first in weights_endpoints") from error


def main() -> int:
    """Fetch what the specification names; report to systemd by the exit status and to the play by the status file."""
    spec = read_json(sys.argv[1])
    # Remove the token from the environment, so that child processes get it only when they need it.
    token = os.environ.pop("HF_TOKEN", "")
    status = Status(spec["status_file"])
    start = time.monotonic()
    try:
        status.write(text="starting")
        fetch_with_room(checked(spec), token, status)
    except FetchError as error:
        status.write(text="failed", error=str(error), fix=error.fix)
        print(f"{error}. Fix: {error.fix}", flush=True)
        return FAILED
    except OSError as error:
        status.write(text="failed", error=str(error), fix="make sure that the disk has free space and is writable, and run the playbook again")
        print(error, flush=True)
        return 1
    seconds = time.monotonic() - start
    total = sum(file["size"] for file in spec["files"])
    status.write(text=f"complete: {size_text(total)} in {seconds:.0f} s", bytes=total, total_bytes=total)
    print(f"{spec['repo']}: {total} bytes complete and verified in {seconds:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
