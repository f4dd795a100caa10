# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download the files of a revision in parallel, and verify each one when it is complete.

Worker threads fetch the missing files from the endpoint that C(Endpoints) picks; verified files go into the record. A watch measures the rate: an
endpoint that stays below the minimum rate is deprioritised.
"""

from __future__ import annotations

import concurrent.futures
import os
import tempfile
import threading
import time
import traceback
import typing as t

from .contents import File, Record, entry_of, is_full, size_of
from .endpoints import Endpoint, Endpoints
from .peer import export_of
from .progress import Rate, Status, size_text
from .tools import Curl, Outcome

# Seconds between two progress checks.
LOOK = 1.0
# A write error with less free space (in bytes) counts as a full disk; the download then waits for more.
ROOM = 16 * 1024 * 1024
# How often curl may fail to write to a disk that has free space.
WRITE_ERRORS = 5
# The source of bytes that an earlier start has left, in place of an endpoint.
EARLIER = "an earlier start"


class FetchError(Exception):
    """A download that can't be completed: what happened, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def free_bytes(path: str) -> int:
    """Return the free space at a path, in bytes."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def can_write(path: str) -> bool:
    """Whether a file can be written at a path: with a full quota, or without free inodes, statvfs still reports free bytes.

    Raises OSError when it fails for another reason.
    """
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True


class Download:
    """Downloads the missing files. O(files) are fetched into O(base), which may have partial files."""

    def __init__(self, spec: dict[str, t.Any], base: str, files: list[File], record: Record, endpoints: Endpoints, tool: Curl, status: Status) -> None:
        self.spec, self.base, self.record = spec, base, record
        self.endpoints, self.tool, self.status = endpoints, tool, status
        self.files, self.export = files, export_of(spec)
        self.lock = threading.Condition()
        self.queue = sorted(files, key=lambda file: -file["size"])
        self.open = {file["path"] for file in files}
        # Endpoints that each file's bytes came from. Bytes of an earlier start may be from any endpoint.
        self.sources: dict[str, set[str]] = {file["path"]: {EARLIER} for file in files if tool.bytes_of(file) > 0}
        # Files that were wrong with bytes from several endpoints: each now comes from a single endpoint, which shows which endpoint sends wrong data.
        self.whole: set[str] = set()
        self.write_errors = 0
        self.error: Exception | None = None
        self.last_bytes = time.monotonic()
        self.verifying = 0
        self.waiting = ""

    def run(self) -> None:
        """Download and verify all files. Raises FetchError, and OSError where the disk is full."""
        workers = max(1, min(self.spec["max_workers"], len(self.files)))
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as self.pool:
            threads = [threading.Thread(target=self.guard, args=(self.work,)) for _number in range(workers)]
            for thread in threads:
                thread.start()
            self.guard(self.watch)
            for thread in threads:
                thread.join()
        if self.error:
            raise self.error

    def guard(self, function: t.Callable[[], None]) -> None:
        """Run a thread's work; an error in it ends the whole download."""
        try:
            function()
        except FetchError as error:
            self.fail(error)
        except OSError as error:
            self.fail(error if is_full(error) else FetchError(str(error), "make sure that the disk is healthy and writable, and run the playbook again"))
        except Exception as error:  # pylint: disable=broad-exception-caught
            # Otherwise the download would wait for ever for a thread that has ended.
            traceback.print_exc()
            self.fail(FetchError(f"{type(error).__name__} in the download program", "report it with the unit's journal, and run the playbook again"))

    def fail(self, error: Exception) -> None:
        """End everything with an error; the first one counts."""
        with self.lock:
            self.error = self.error or error
            self.lock.notify_all()
        self.tool.stop()

    @property
    def over(self) -> bool:
        return self.error is not None or not self.open

    # -- workers

    def work(self) -> None:
        """Fetch one file after the other until all are verified."""
        while True:
            with self.lock:
                while not self.queue and not self.over:
                    self.lock.wait()
                if self.over:
                    return
                file = self.queue.pop(0)
            endpoint = self.next_endpoint(file)
            if endpoint is None:
                return
            self.settle(endpoint, file)

    def next_endpoint(self, file: File) -> Endpoint | None:
        """Wait for an endpoint that can be used for a file; None when the download is over. Raises FetchError when no endpoint has the file."""
        while not self.over:
            endpoint, seconds = self.endpoints.pick(file["path"], self.holder_of(file))
            if endpoint is not None:
                self.waiting = ""
                return endpoint
            if seconds == float("inf"):
                raise FetchError(
                    f"{file['path']} is not available: {self.endpoints.report(file['path'])}",
                    "see the answer of each endpoint; add one that has the file to weights_endpoints, and run the playbook again",
                )
            self.waiting = f"waiting {seconds:.0f} s for an endpoint ({self.endpoints.report()})"
            with self.lock:
                self.lock.wait(min(seconds, LOOK))
        return None

    def settle(self, endpoint: Endpoint, file: File) -> None:
        """Fetch a file from an endpoint and handle the outcome."""
        if not self.may_begin(endpoint, file):
            return
        path = os.path.join(self.base, file["path"])
        before = self.tool.bytes_of(file)
        is_wanted = before < file["size"] or size_of(path) < 0
        outcome = self.fetch(endpoint, file) if is_wanted else Outcome()
        after = self.tool.bytes_of(file)
        if is_wanted and after:
            self.sources.setdefault(file["path"], set()).add(endpoint.url)
        if after > before:
            self.endpoints_said(endpoint.works)
        if outcome.said and not self.over:
            self.blame(endpoint, file, outcome, after > before)
        size = size_of(path)
        if size == file["size"]:
            self.verify_later(file)
            return
        if size > file["size"] or (not outcome.said and is_wanted):
            # curl succeeded, with too many or too few bytes: this endpoint has a different file.
            self.wrong(file, f"{max(size, 0)} bytes instead of {file['size']}")
        self.again(file)

    def fetch(self, endpoint: Endpoint, file: File) -> Outcome:
        try:
            return self.tool.fetch(endpoint, file)
        except OSError as error:
            if not is_full(error):
                raise
            return Outcome(str(error), disk=True)

    def holder_of(self, file: File) -> str | None:
        """The endpoint that has sent the bytes of a file that must come from a single endpoint; empty without bytes. None for all other files."""
        if file["path"] not in self.whole:
            return None
        return next(iter(self.sources.get(file["path"], ())), "")

    def may_begin(self, endpoint: Endpoint, file: File) -> bool:
        """Enforce that a file that must come from a single endpoint does. False when this endpoint has failed too often: the file is queued again."""
        path = os.path.join(self.base, file["path"])
        whole = file["path"] in self.whole and self.sources.get(file["path"]) != {endpoint.url}
        restarts = not endpoint.resumes(file["path"]) and self.tool.bytes_of(file) > 0
        if whole or restarts:
            with self.endpoints.lock:
                endpoint.begin(file["path"], whole)
                gone = file["path"] in endpoint.lacks
            if gone:
                self.again(file)
                return False
        if whole:
            if os.path.lexists(path):
                os.unlink(path)
            self.sources[file["path"]] = {endpoint.url}
        return True

    def endpoints_said(self, tell: t.Callable[[], None]) -> None:
        with self.endpoints.lock:
            tell()

    def blame(self, endpoint: Endpoint, file: File, outcome: Outcome, progress: bool) -> None:
        """Update the endpoint's state after a failed attempt."""
        if outcome.disk:
            self.wait_for_room(outcome.said)
            return
        if outcome.no_ranges:
            endpoint.cannot_resume(file["path"])
            return
        if outcome.status in (401, 403, 404, 410):
            with self.endpoints.lock:
                endpoint.said = outcome.said
                endpoint.lacks[file["path"]] = outcome.said
        elif not progress or outcome.status:
            # An endpoint that sends data before the connection breaks is used again at once.
            with self.endpoints.lock:
                endpoint.back_off(outcome.said, outcome.retry_after)
            print(f"{endpoint.url}: {endpoint.said}", flush=True)

    def wait_for_room(self, said: str) -> None:
        """Wait until the disk has free space again, for the stall timeout at most. Raises FetchError."""
        if free_bytes(self.base) >= ROOM and can_write(self.base):
            self.write_errors += 1
            if self.write_errors >= WRITE_ERRORS:
                raise FetchError(f"cannot write to the disk: {said}", "make sure that the disk is healthy and writable, and run the playbook again")
        missing = sum(file["size"] - self.tool.bytes_of(file) for file in self.files)
        if not self.waiting.startswith("the disk"):
            print(f"the disk is full; waiting for free space ({size_text(missing)} left to download)", flush=True)
        while not self.over and not (free_bytes(self.base) >= min(missing, 4 * ROOM) and can_write(self.base)):
            self.waiting = "the disk is full; waiting for free space"
            with self.lock:
                self.lock.wait(LOOK)
        self.waiting = ""

    def again(self, file: File) -> None:
        with self.lock:
            self.queue.append(file)
            self.lock.notify_all()

    # -- verification

    def verify_later(self, file: File) -> None:
        with self.lock:
            self.verifying += 1
        self.pool.submit(self.guard, lambda: self.verify(file))

    def verify(self, file: File) -> None:
        """Hash a complete file: record it when it is right, otherwise remove it and fetch it again."""
        try:
            try:
                entry = entry_of(self.base, file)
            except OSError as error:
                if not is_full(error):
                    raise
                # Its last bytes never reached the disk: no endpoint sent wrong data.
                self.sources.pop(file["path"], None)
                os.unlink(os.path.join(self.base, file["path"]))
                self.again(file)
                return
            if entry is None:
                self.wrong(file, "a wrong hash")
                self.again(file)
                return
            self.export.put(self.base, entry)
            with self.lock:
                self.record.add(entry)
                self.open.discard(file["path"])
                self.last_bytes = time.monotonic()
                self.lock.notify_all()
        finally:
            with self.lock:
                self.verifying -= 1

    def wrong(self, file: File, what: str) -> None:
        """A file differs from the metadata: it is removed and fetched again. An endpoint that has sent all of it becomes the last choice for it.

        With bytes from several endpoints it is unknown which one sent wrong data: the file then has to come from a single endpoint.
        """
        sources = self.sources.pop(file["path"], set())
        print(f"{file['path']} from {' and '.join(sorted(sources)) or EARLIER} has {what}; fetching it again", flush=True)
        blamed = [endpoint for endpoint in self.endpoints.all if sources == {endpoint.url}]
        with self.endpoints.lock:
            for endpoint in blamed:
                endpoint.wrong[file["path"]] = endpoint.wrong.get(file["path"], 0) + 1
        if not blamed:
            self.whole.add(file["path"])
        path = os.path.join(self.base, file["path"])
        if os.path.lexists(path):
            os.unlink(path)

    # -- the watch

    def there(self) -> int:
        """Bytes of all files of this download on the disk, verified or not."""
        return sum(map(self.tool.bytes_of, self.files))

    def watch(self) -> None:
        """Report progress, change the endpoint when it is too slow, and give up when no data comes any more."""
        total = sum(file["size"] for file in self.spec["files"])
        others = total - sum(file["size"] for file in self.files)
        rate, size = Rate(self.spec["rate_seconds"]), -1
        while not self.over:
            now, before, size = time.monotonic(), size, self.there()
            busy = self.tool.busy()
            if size > before or self.verifying or (self.endpoints.is_alive() and not self.waiting.startswith("the disk")):
                self.last_bytes = now
            pace = rate.add(now, size)
            if not busy or size < before:
                # While the download waits or verifies, the rate says nothing about the endpoint.
                rate = Rate(self.spec["rate_seconds"])
            elif rate.span >= self.spec["rate_seconds"] and pace < self.spec["min_rate"]:
                self.change(busy[0], pace)
                rate = Rate(self.spec["rate_seconds"])
            if now - self.last_bytes > self.spec["stall_timeout"]:
                self.give_up(now - self.last_bytes)
            doing = self.waiting or (f"from {', '.join(sorted({one.url for one in busy}))}" if busy else "verifying")
            self.status.progress(min(others + size, total), total, doing)
            with self.lock:
                self.lock.wait(LOOK)

    def change(self, endpoint: Endpoint, pace: float) -> None:
        """An endpoint stays below the minimum rate: use another one."""
        if self.endpoints.too_slow(endpoint, pace):
            print(f"{endpoint.url}: {endpoint.said}; using the next endpoint", flush=True)
            self.tool.stop(endpoint)

    def give_up(self, seconds: float) -> t.NoReturn:
        """No data has come for too long. Raises FetchError."""
        if self.waiting.startswith("the disk"):
            raise FetchError("the disk is full", "free disk space and run the playbook again; it continues the download")
        raise FetchError(
            f"no data for {seconds:.0f} s: {self.endpoints.report()}",
            "make sure that the host can reach one of weights_endpoints, or add one; run the playbook again, which continues the download",
        )
