# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints that files are fetched from: where each one's data really comes from, and which one to use next.

Endpoints are used in the user's order. The download backs off from an endpoint that fails, longer each time, or as long as its Retry-After says. It
deprioritises one that is too slow, and does not request a file again from one that does not have it.
"""

from __future__ import annotations

import dataclasses
import email.utils
import re
import threading
import time
import typing as t
import urllib.parse

from .._endpoint_kinds import file_address, is_modelscope
from .._http_client import REASONS, HttpClient, HttpError, one_line, whole_number
from .._masking import masked
from .contents import File
from .progress import size_text

# Seconds: timeout for connecting to an endpoint, the first backoff and the longest.
CONNECT_SECONDS = 10
FIRST_BACKOFF = 1.0
MAX_BACKOFF = 30.0
# The longest Retry-After in seconds that is honoured.
LONGEST_RETRY_AFTER = 3600.0
# After how many wrong copies of one file the endpoint is no longer used for that file; after how many wrong files it is not used at all.
WRONG_TRIES = 3
WRONG_FILES = 3
# For a file that was wrong with bytes from several endpoints: how often it is started at one single endpoint, and how often that endpoint may fail
# before another one starts the file from the beginning.
WHOLE_TRIES = 3
WHOLE_FAILURES = 3
# How often a file is restarted at an endpoint that does not support ranges.
RESTARTS = 10
# How many bytes of a large file are fetched to measure the rate. Of a small file a single byte: the download fetches them again.
SAMPLE = 1024 * 1024
LARGE = 1024 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass
class Answer:
    """An endpoint's answer to the request for a file. Rate in bytes per second, None when not measured."""

    status: int = 0
    host: str = ""
    size: int | None = None
    sha256: str = ""
    retry_after: float | None = None
    rate: float | None = None
    error: str = ""


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds to wait that a Retry-After header states, as a number or as a date."""
    if not retry_after:
        return None
    number = whole_number(retry_after)
    if number is not None:
        return min(float(number), LONGEST_RETRY_AFTER)
    try:
        seconds = email.utils.parsedate_to_datetime(retry_after[:64]).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def ask(url: str, token: str, size: int, direct: bool = False, session: bool = False) -> Answer:
    """Fetch the first bytes of a file (O(size) is the whole file's) and report where they came from. Errors are in the answer, not raised."""
    answer = Answer()
    span = SAMPLE if size >= LARGE else 1
    began = time.monotonic()

    def look(address: str, status: int, headers: t.Any) -> None:
        nonlocal began
        began = time.monotonic()
        answer.host, answer.status = urllib.parse.urlsplit(address).netloc.rpartition("@")[2], status
        answer.retry_after = seconds_of(headers.get("Retry-After"))
        # The hash comes from the endpoint itself; the ETag of the storage behind it may be anything.
        answer.sha256 = answer.sha256 or hash_of(headers.get("X-Linked-Etag") or "")

    try:
        asked = {"Range": f"bytes=0-{span - 1}"}
        found = HttpClient(CONNECT_SECONDS, direct=direct).get(url, token, limit=span, whole=False, headers=asked, seen=look, session=session)
    except HttpError as error:
        answer.error = f"no usable answer from {urllib.parse.urlsplit(url).netloc.rpartition('@')[2]}: {error}"
        return answer
    if found.status in (200, 206):
        answer.size = total_of(found.headers)
        if span > 1:
            answer.rate = len(found.body) / max(time.monotonic() - began, 1e-6)
    else:
        answer.error = f"{found.status} {one_line(found.headers.get('X-Error-Message') or REASONS.get(found.status, ''), token)}".strip()
    return answer


def hash_of(etag: str) -> str:
    """Return the sha256 in an ETag; empty when the ETag is something else."""
    bare = etag.strip()[:80].removeprefix("W/").strip('"')
    return bare if _SHA256.fullmatch(bare) else ""


def total_of(headers: t.Any) -> int | None:
    """Return the size of the whole file in bytes from the headers of the answer to a range request."""
    return whole_number((headers.get("Content-Range") or "").rpartition("/")[2] or headers.get("Content-Length"))


class Endpoint:
    """One endpoint and its state. Not thread-safe: C(Endpoints) has the lock."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.backoff_until = 0.0
        self.failures = 0
        # Until when it is deprioritised, and its rate then.
        self.slow_until, self.slow_rate = 0.0, 0.0
        self.said = "not requested yet"
        self.wrong: dict[str, int] = {}
        self.lacks: dict[str, str] = {}
        # How often a file that must come from a single endpoint was started here.
        self.begun: dict[str, int] = {}
        self.restarted: dict[str, int] = {}
        # Files that can't be resumed here; an empty name means all.
        self.without_ranges: set[str] = set()
        # Whether to bypass the proxies of the environment.
        self.direct = False
        # Its revision where it does not know the commit, and the files that it has in the same contents (None: all). See C(limit).
        self.revision = ""
        self.only: frozenset[str] | None = None

    @property
    def is_modelscope(self) -> bool:
        return is_modelscope(self.url)

    def address(self, repo: str, commit: str, path: str) -> str:
        """The address of a file of a commit."""
        return file_address(self.url, repo, self.revision or commit, path)

    def resumes(self, path: str) -> bool:
        """Whether a file can be resumed here, as far as known."""
        return not self.without_ranges & {path, ""}

    def cannot_resume(self, path: str) -> None:
        """A file can't be resumed here, and then no file. ModelScope ignores ranges for small files alone, which it sends without a redirect."""
        self.without_ranges.add(path if self.is_modelscope else "")

    def has(self, path: str) -> bool:
        """Whether this endpoint may have the file."""
        many = sum(1 for count in self.wrong.values() if count) >= WRONG_FILES
        return path not in self.lacks and self.wrong.get(path, 0) < WRONG_TRIES and not many and (self.only is None or path in self.only)

    def begin(self, path: str, whole: bool) -> None:
        """Start a file from its first byte: because all of it must come from here, or because this endpoint does not support ranges.

        After too many starts the endpoint is no longer used for this file.
        """
        counts, most = (self.begun, WHOLE_TRIES) if whole else (self.restarted, RESTARTS)
        counts[path] = counts.get(path, 0) + 1
        if counts[path] > most:
            self.lacks[path] = f"started {most} times and never received complete and correct"

    def back_off(self, said: str, retry_after: float | None = None) -> None:
        """Do not use this endpoint for a while: as long as its Retry-After says, otherwise longer with each failure."""
        if time.monotonic() >= self.backoff_until:
            # When several connections fail at the same time, count one failure.
            self.failures += 1
        seconds = min(FIRST_BACKOFF * 2 ** (self.failures - 1), MAX_BACKOFF)
        if retry_after is not None:
            seconds = max(retry_after, FIRST_BACKOFF)
            said = f"{said}, retrying in {retry_after:.0f} s"
        self.backoff_until = max(self.backoff_until, time.monotonic() + seconds)
        self.said = said

    def works(self) -> None:
        """The endpoint has sent data."""
        self.failures = 0
        self.said = "works"


def limit(endpoints: t.Iterable[Endpoint], named_by: str, equal: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
    """Limit endpoints of another kind than the one that named commit and hashes to the files that they have in the same contents.

    :param named_by: the endpoint that named commit and hashes
    :param equal: by ModelScope endpoint, its C(revision) and C(files), the paths of the equal files
    """
    for endpoint in endpoints:
        if endpoint.is_modelscope == is_modelscope(named_by):
            continue
        found = equal.get(endpoint.url, {})
        endpoint.revision, endpoint.only = found.get("revision", ""), frozenset(found.get("files", ()))
        if not endpoint.only:
            endpoint.said = "no request: it has no file list with these hashes" if endpoint.is_modelscope else "no request: the commit is one of ModelScope"


class Endpoints:
    """All endpoints in the user's order, shared by the threads that download."""

    def __init__(self, urls: list[str], token: str, token_endpoints: list[str], slow_seconds: float) -> None:
        self.all = [Endpoint(url, token if url in token_endpoints else "") for url in urls]
        self.lock = threading.Lock()
        # How many seconds an endpoint that was too slow is deprioritised.
        self.slow_seconds = slow_seconds

    def probe(self, repo: str, commit: str, file: File) -> None:
        """Request a file from every endpoint, all at the same time, and log where each one's data comes from."""
        answers: dict[str, Answer] = {}
        able = [endpoint for endpoint in self.all if endpoint.has(file["path"])]

        def one(endpoint: Endpoint) -> None:
            address = endpoint.address(repo, commit, file["path"])
            answers[endpoint.url] = ask(address, endpoint.token, file["size"], endpoint.direct, endpoint.is_modelscope)

        threads = [threading.Thread(target=one, args=(endpoint,)) for endpoint in able]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for endpoint in self.all:
            if endpoint in able:
                self.learn(endpoint, file, answers[endpoint.url])
            print(masked(f"{endpoint.url}: {endpoint.said}"), flush=True)

    def learn(self, endpoint: Endpoint, file: File, answer: Answer) -> None:
        """Update an endpoint's state from its answer about a file."""
        with self.lock:
            if answer.error:
                if answer.status in (401, 403, 404, 410):
                    endpoint.lacks[file["path"]] = answer.error
                    endpoint.said = answer.error
                else:
                    endpoint.back_off(answer.error, answer.retry_after)
            elif answer.size not in (None, file["size"]):
                endpoint.lacks[file["path"]] = f"{file['path']} has {answer.size} bytes there instead of {file['size']}"
                endpoint.said = endpoint.lacks[file["path"]]
            elif answer.sha256 and answer.sha256 != file.get("sha256", answer.sha256):
                endpoint.lacks[file["path"]] = f"{file['path']} has sha256 {answer.sha256} there instead of {file['sha256']}"
                endpoint.said = endpoint.lacks[file["path"]]
            else:
                pace = f" at {size_text(answer.rate)}/s" if answer.rate else ""
                endpoint.said = f"data from {answer.host}{pace}"

    def candidates(self) -> list[Endpoint]:
        """The endpoints that C(pick) chooses from."""
        return self.all

    def is_alive(self) -> bool:
        """Whether there is a peer that still makes progress, so that waiting for it is no stall."""
        return False

    def pick(self, path: str, holder: str | None = None) -> tuple[Endpoint | None, float]:
        """The endpoint to fetch a file from now; or None, and the seconds until one can be used again (infinite when none ever can).

        :param holder: for a file that must come from a single endpoint, the one that has sent its bytes; empty while there are none
        """
        with self.lock:
            now = time.monotonic()
            able = [endpoint for endpoint in self.candidates() if endpoint.has(path)]
            held = next((one for one in able if one.url == holder), None)
            if held is not None and held.failures < WHOLE_FAILURES:
                able = [held]
            ready = [endpoint for endpoint in able if endpoint.backoff_until <= now]
            if ready:
                # Prefer endpoints that have not sent this file wrong; among the too slow ones prefer the fastest.
                return min(ready, key=lambda one: (
                    one.wrong.get(path, 0), one.begun.get(path, 0) if holder is not None and one is not held else 0,
                    one.slow_until > now, -one.slow_rate if one.slow_until > now else 0.0,
                )), 0.0
            return None, min((endpoint.backoff_until - now for endpoint in able), default=float("inf"))

    def too_slow(self, endpoint: Endpoint, rate: float) -> bool:
        """Deprioritise an endpoint because of its rate in bytes per second; False when there is no other one to use."""
        with self.lock:
            now = time.monotonic()
            others = [
                one for one in self.all
                if one is not endpoint and one.backoff_until <= now and one.slow_until <= now and not one.lacks and one.only != frozenset()
            ]
            if not others:
                return False
            endpoint.slow_until, endpoint.slow_rate = now + self.slow_seconds, rate
            endpoint.said = f"too slow: {size_text(rate)}/s"
            return True

    def report(self, path: str = "") -> str:
        """The last answer of each endpoint, for error messages; about one file when C(path) is given."""
        return "; ".join(f"{masked(one.url)} answered: {one.lacks.get(path) or self._wrong(one, path) or one.said}" for one in self.all)

    @staticmethod
    def _wrong(endpoint: Endpoint, path: str) -> str:
        """How often it has sent wrong bytes of a file; without C(path) of all files."""
        if path and endpoint.only and path not in endpoint.only:
            return f"{path} is not there, or has a different size or sha256"
        count = endpoint.wrong.get(path, 0) if path else sum(endpoint.wrong.values())
        return f"wrong bytes, {count} times" if count else ""
