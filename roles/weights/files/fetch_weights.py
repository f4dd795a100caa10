# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download one revision of a model with the official Hugging Face client, verify every file, and only then show it.

Runs on the host as a systemd unit. Usage: fetch_weights.py SPECIFICATION.json, with the keys that weights/tasks/fetch.yml writes.
The files land in <path>.partial; when each has the size and hash that the Hub's metadata gives, the directory gets its final
name and a manifest beside it. The manifest is the mark of completeness. Killed at any point, the next start goes on.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import typing as t

CHUNK = 8 * 1024 * 1024
# A wrong byte is fetched again this often before the endpoint is called broken.
ROUNDS = 3
# Seconds to wait before the client is started again after it gave up; it has retried each request itself by then.
PAUSES = (2.0, 10.0, 30.0)


class FetchError(Exception):
    """A download that can't be completed: what happened, and the way out."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class Status:
    """The file in which a play reads how far the download is."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, **values: t.Any) -> None:
        """Replace the file in one step, so that a reader never sees half of it."""
        new = self.path + ".new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(values, file)
        os.replace(new, self.path)


def words(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def size_of_tree(path: str) -> int:
    """Return the bytes of all files below a directory, in whatever state the client has them."""
    total = 0
    for folder, _folders, names in os.walk(path):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(folder, name))
            except OSError:
                pass  # renamed or removed by the client between the two calls
    return total


def report_progress(status: Status, path: str, total: int, done: threading.Event) -> None:
    """Write bytes, rate and time left every two seconds until the download is done."""
    start, first = time.monotonic(), size_of_tree(path)
    while not done.wait(2):
        size = min(size_of_tree(path), total)
        rate = (size - first) / (time.monotonic() - start)
        left = f"{(total - size) / rate:.0f} s left" if rate > 0 else "waiting for data"
        status.write(text=f"{words(size)} of {words(total)}, {words(rate)}/s, {left}", bytes=size, total_bytes=total)


def drop_leftovers(partial: str) -> None:
    """Remove the beginnings that a killed client left behind: it starts such a file anew and would never take the space back."""
    for folder, _folders, names in os.walk(os.path.join(partial, ".cache")):
        for name in names:
            if name.endswith(".incomplete"):
                os.unlink(os.path.join(folder, name))


def download(spec: dict[str, t.Any], partial: str) -> None:
    """Run the official client; files that are there at full size are kept by it. Raises FetchError with its last words."""
    command = [
        spec["hf"], "download", spec["repo"], "--revision", spec["commit"], "--local-dir", partial,
        "--max-workers", str(spec["max_workers"]), "--quiet",
    ]
    for pattern in spec["exclude"]:
        command += ["--exclude", pattern]
    environment = {
        **os.environ,
        "HF_ENDPOINT": spec["endpoint"],
        "HF_HOME": os.path.join(partial, ".cache", "home"),
        # Xet takes its data from hosts of its own, past the endpoint.
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if line.strip()]
        # Above these stand only the stack frames of the client.
        print("\n".join(said[-3:]), flush=True)
        full = "No space left on device" in done.stdout
        raise FetchError(
            f"the client ended with status {done.returncode}: {said[-1] if said else 'no output'}",
            "make room on the disk and run the playbook again" if full else
            f"check that {spec['endpoint']} is reachable from the host; run the playbook again to go on where it stopped",
        )


def download_patiently(spec: dict[str, t.Any], partial: str) -> None:
    """Start the client again after a pause when it gives up: a mirror may be gone for a moment. Raises its last FetchError."""
    for pause in PAUSES:
        try:
            return download(spec, partial)
        except FetchError as error:
            print(f"{error}; trying again in {pause:.0f} s", flush=True)
        time.sleep(pause)
        drop_leftovers(partial)
    return download(spec, partial)


def hashes(path: str, size: int) -> tuple[str, str]:
    """Return the sha256 of a file and the name that git gives its content."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()


def verify_file(partial: str, file: dict[str, t.Any]) -> dict[str, t.Any] | None:
    """Return the manifest's entry of a file, or None (and remove it) when it is not what the Hub's metadata says."""
    path = os.path.join(partial, file["path"])
    try:
        size = os.path.getsize(path)
    except OSError:
        return None
    if size == file["size"]:
        sha256, git = hashes(path, size)
        if sha256 == file.get("sha256", sha256) and git == file.get("git_sha1", git):
            return {"path": file["path"], "size": size, "sha256": sha256}
    print(f"{file['path']} is not what was announced; it is fetched again", flush=True)
    os.unlink(path)
    return None


def verify(partial: str, files: list[dict[str, t.Any]]) -> list[dict[str, t.Any]] | None:
    """Verify all files side by side; the manifest's entries, or None when one has to be fetched again."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        entries = list(pool.map(lambda file: verify_file(partial, file), files))
    good = [entry for entry in entries if entry]
    return good if len(good) == len(files) else None


def publish(spec: dict[str, t.Any], source: str, entries: list[dict[str, t.Any]]) -> None:
    """Give verified files their final name, then write the manifest that says so."""
    if source != spec["path"]:
        # The client's own book-keeping; the manifest takes its place.
        shutil.rmtree(os.path.join(source, ".cache"), ignore_errors=True)
        os.rename(source, spec["path"])
    manifest = {key: spec[key] for key in ("repo", "revision", "commit", "endpoint")}
    manifest["files"] = entries
    new = spec["manifest"] + ".new"
    with open(new, "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, spec["manifest"])


def fetch(spec: dict[str, t.Any], status: Status) -> None:
    """Bring the weights to their place, whatever an earlier start left there. Raises FetchError."""
    total = sum(file["size"] for file in spec["files"])
    partial = spec["path"] + ".partial"
    if os.path.isdir(spec["path"]):
        # A start that died between the rename and the manifest: everything may be there. Look before fetching.
        status.write(text=f"verifying {words(total)}")
        entries = verify(spec["path"], spec["files"])
        if entries:
            publish(spec, spec["path"], entries)
            return
        os.rename(spec["path"], partial)
    for _round in range(ROUNDS):
        os.makedirs(partial, exist_ok=True)
        drop_leftovers(partial)
        done = threading.Event()
        reporter = threading.Thread(target=report_progress, args=(status, partial, total, done))
        reporter.start()
        try:
            download_patiently(spec, partial)
        finally:
            done.set()
            reporter.join()
        status.write(text=f"verifying {words(total)}")
        entries = verify(partial, spec["files"])
        if entries:
            publish(spec, partial, entries)
            return
    raise FetchError(
        f"{spec['endpoint']} sent wrong bytes {ROUNDS} times", "put another endpoint first in weights_endpoints and run the playbook again",
    )


def main() -> int:
    """Fetch what the specification says; the exit status tells systemd, the status file tells the play."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    status = Status(spec["status_file"])
    start = time.monotonic()
    try:
        status.write(text="starting")
        fetch(spec, status)
    except FetchError as error:
        status.write(text="failed", error=str(error), remedy=error.remedy)
        print(f"{error}. Way out: {error.remedy}", flush=True)
        return 1
    except OSError as error:
        status.write(text="failed", error=str(error), remedy="see that the disk has room and is writable, and run the playbook again")
        print(error, flush=True)
        return 1
    seconds = time.monotonic() - start
    total = sum(file["size"] for file in spec["files"])
    status.write(text=f"complete: {words(total)} in {seconds:.0f} s", bytes=total, total_bytes=total)
    print(f"{spec['repo']}: {total} bytes complete and verified in {seconds:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
