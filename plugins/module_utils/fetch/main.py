# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download one revision of a model, verify every file, and only then show it.

Runs on the host as a systemd unit. Usage: fetch SPECIFICATION.json, with the keys that roles/weights/tasks/fetch.yml writes.
The files land in <path>.partial; when each has the size and hash that the Hub's metadata gives, the directory gets its final name and
a manifest beside it. The manifest is the mark of completeness. Killed at any point, the next start goes on.

Where the final directory is there already (a start that died before the manifest, or a file that was changed since), what is right
in it stays, and what is not is fetched beside it and put in its place.

Exit status 0: complete. 3: it can't be completed, and another start would not change that. Anything else: worth another start.
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
# An endpoint that was too slow is tried again after so many times the time that it took to find out.
SLOW_TIMES = 10
# Seconds between two looks at a full disk, and of an attempt after which the stall timeout starts again.
FULL_LOOK = 5.0
FULL_ANEW = 60.0


def verified(base: str, record: Record, files: list[File], status: Status) -> list[File]:
    """Hash the files of the final directory that the manifest does not vouch for; the entries of those that are right."""
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
    """What was chosen of the repository: with other patterns it is looked at again."""
    return {key: spec.get(key, []) for key in ("include", "exclude")}


def publish(spec: dict[str, t.Any], partial: str, entries: list[File]) -> None:
    """Give verified files their final name, then write the manifest that says so."""
    path = spec["path"]
    if os.path.isdir(partial):
        known = {entry["path"] for entry in entries}
        for folder, _folders, names in os.walk(partial, topdown=False):
            for name in names:
                whole = os.path.join(folder, name)
                inside = os.path.relpath(whole, partial)
                if inside not in known:
                    # Of an earlier selection of files, or what another client keeps for itself.
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
    """See that the file system keeps all files apart: on one that does not tell Readme from README two would share a place. Raises FetchError."""
    known: dict[str, str] = {}
    for entry in entries:
        other = known.setdefault(entry["path"].casefold(), entry["path"])
        if other != entry["path"] and os.path.samefile(os.path.join(base, other), os.path.join(base, entry["path"])):
            raise FetchError(f"{other} and {entry['path']} are one file on this file system", "set weights_dir to one that tells upper from lower case")


def fetch(spec: dict[str, t.Any], token: str, status: Status) -> None:
    """Bring the weights to their place, whatever an earlier start left there. Raises FetchError."""
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
            status.write(text="asking the endpoints")
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
    """The same, but wait until a full disk has room again, for the stall timeout at most. Raises FetchError."""
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
                raise FetchError(f"the disk is full: {error}", "make room on the disk and run the playbook again; what was fetched is kept") from error
            print(f"the disk is full; waiting for room ({error})", flush=True)
            status.write(text="the disk is full; waiting for room")
            time.sleep(min(FULL_LOOK, spec["stall_timeout"]))


def checked(spec: dict[str, t.Any]) -> dict[str, t.Any]:
    """The specification, in which the commit and the files are what an endpoint said. Raises FetchError."""
    try:
        return {**spec, "commit": commit(spec["commit"]), "files": files(spec["files"])}
    except BadAnswer as error:
        raise FetchError(f"what the endpoint says of the repository can't be used: {error}", "put another one first in weights_endpoints") from error


def main() -> int:
    """Fetch what the specification says; the exit status tells systemd, the status file tells the play."""
    spec = read_json(sys.argv[1])
    # Out of the environment, so that programs started from here get it only where they need it.
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
        status.write(text="failed", error=str(error), fix="see that the disk has room and is writable, and run the playbook again")
        print(error, flush=True)
        return 1
    seconds = time.monotonic() - start
    total = sum(file["size"] for file in spec["files"])
    status.write(text=f"complete: {size_text(total)} in {seconds:.0f} s", bytes=total, total_bytes=total)
    print(f"{spec['repo']}: {total} bytes complete and verified in {seconds:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
