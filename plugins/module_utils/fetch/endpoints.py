# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places that a file can be fetched from: where each one's data really comes from, and which one is next.

Endpoints are used in the user's order. The download backs off from an endpoint that fails, longer each time, or for as long as the endpoint asks. It
deprioritises one that is too slow, and does not ask one for a file again that lacks it.
"""

from __future__ import annotations

import dataclasses
import email.utils
import re
import threading
import time
import typing as t
import urllib.parse

from .._http_client import REASONS, HttpClient, HttpError, one_line, whole_number
from .._masking import masked
from .contents import File
from .progress import size_text

# Seconds for connecting to an endpoint, of the first backoff and of the longest.
CONNECT_SECONDS = 10
FIRST_BACKOFF = 1.0
MAX_BACKOFF = 30.0
# Seconds that an endpoint may ask to be left alone; one that asks for more is asked after them.
LONGEST_RETRY_AFTER = 3600.0
# How often a file from one endpoint may turn out wrong, and of how many files, before the endpoint is not asked any more.
WRONG_TRIES = 3
WRONG_FILES = 3
# How often a file that was wrong, with bytes from several places, is begun from one endpoint alone, and how often that one may fail in the
# middle of it before another one gets its turn, from the beginning.
WHOLE_TRIES = 3
WHOLE_FAILURES = 3
# How often a file is started again at an endpoint that has no ranges.
RESTARTS = 10
# Bytes of a large file that are fetched to see how fast they come. Of a small one a single byte, as they are fetched again.
SAMPLE = 1024 * 1024
LARGE = 1024 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass
class Answer:
    """What an endpoint said when it was asked for a file. Rate in bytes a second, None when not measured."""

    status: int = 0
    host: str = ""
    size: int | None = None
    sha256: str = ""
    retry_after: float | None = None
    rate: float | None = None
    error: str = ""


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait: a number of them, or a date."""
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


def ask(url: str, token: str, size: int, direct: bool = False) -> Answer:
    """Fetch the first bytes of a file (O(size) is all of it) and tell where they came from. Raises nothing that the other side causes."""
    answer = Answer()
    span = SAMPLE if size >= LARGE else 1
    began = time.monotonic()

    def look(address: str, status: int, headers: t.Any) -> None:
        nonlocal began
        began = time.monotonic()
        answer.host, answer.status = urllib.parse.urlsplit(address).netloc.rpartition("@")[2], status
        answer.retry_after = seconds_of(headers.get("Retry-After"))
        # The endpoint itself names the hash; where the data lies the ETag may be anything.
        answer.sha256 = answer.sha256 or hash_of(headers.get("X-Linked-Etag") or "")

    try:
        found = HttpClient(CONNECT_SECONDS, direct=direct).get(url, token, limit=span, whole=False, headers={"Range": f"bytes=0-{span - 1}"}, seen=look)
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
    """Return the sha256 in an ETag, if it is one."""
    bare = etag.strip()[:80].removeprefix("W/").strip('"')
    return bare if _SHA256.fullmatch(bare) else ""


def total_of(headers: t.Any) -> int | None:
    """Return the size of the whole file in bytes, as the headers of an answer to a range have it."""
    return whole_number((headers.get("Content-Range") or "").rpartition("/")[2] or headers.get("Content-Length"))


class Endpoint:
    """One endpoint and what was learned of it. Not to be used by several threads at once: C(Endpoints) sees to that."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.backoff_until = 0.0
        self.failures = 0
        # Deprioritised until then, and the rate at which it was too slow.
        self.slow_until, self.slow_rate = 0.0, 0.0
        self.said = "not asked"
        self.wrong: dict[str, int] = {}
        self.lacks: dict[str, str] = {}
        # How often a file was begun from here that has to come from one endpoint alone.
        self.begun: dict[str, int] = {}
        self.restarted: dict[str, int] = {}
        self.without_ranges = False
        # Asked without the proxies of the environment.
        self.direct = False

    def address(self, repo: str, commit: str, path: str) -> str:
        """The address of a file of a commit."""
        return f"{self.url}/{repo}/resolve/{commit}/{urllib.parse.quote(path)}"

    def has(self, path: str) -> bool:
        """Whether it is worth asking for a file."""
        many = sum(1 for count in self.wrong.values() if count) >= WRONG_FILES
        return path not in self.lacks and self.wrong.get(path, 0) < WRONG_TRIES and not many

    def begin(self, path: str, whole: bool) -> None:
        """Begin a file from its first byte: because all of it has to come from here, or because this endpoint can't go on in the middle.

        One from which it never comes to an end is not asked for it any more.
        """
        counts, most = (self.begun, WHOLE_TRIES) if whole else (self.restarted, RESTARTS)
        counts[path] = counts.get(path, 0) + 1
        if counts[path] > most:
            self.lacks[path] = f"begun {most} times, and it never came whole and right"

    def back_off(self, said: str, retry_after: float | None = None) -> None:
        """Do not ask it for a while: for as long as it requests, else longer with each failure."""
        if time.monotonic() >= self.backoff_until:
            # Of several connections that fail at the same time the first one counts.
            self.failures += 1
        seconds = min(FIRST_BACKOFF * 2 ** (self.failures - 1), MAX_BACKOFF)
        if retry_after is not None:
            seconds = max(retry_after, FIRST_BACKOFF)
            said = f"{said}, to be asked again in {retry_after:.0f} s"
        self.backoff_until = max(self.backoff_until, time.monotonic() + seconds)
        self.said = said

    def works(self) -> None:
        """Bytes came."""
        self.failures = 0
        self.said = "works"


class Endpoints:
    """All endpoints in the user's order, shared by the threads that download."""

    def __init__(self, urls: list[str], token: str, token_endpoints: list[str], slow_seconds: float) -> None:
        self.all = [Endpoint(url, token if url in token_endpoints else "") for url in urls]
        self.lock = threading.Lock()
        # Seconds for which an endpoint that was too slow is deprioritised.
        self.slow_seconds = slow_seconds

    def probe(self, repo: str, commit: str, file: File) -> None:
        """Ask every endpoint for a file, all at the same time, and say where each one's data comes from."""
        answers: dict[str, Answer] = {}

        def one(endpoint: Endpoint) -> None:
            answers[endpoint.url] = ask(endpoint.address(repo, commit, file["path"]), endpoint.token, file["size"], endpoint.direct)

        threads = [threading.Thread(target=one, args=(endpoint,)) for endpoint in self.all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for endpoint in self.all:
            self.learn(endpoint, file, answers[endpoint.url])
            print(masked(f"{endpoint.url}: {endpoint.said}"), flush=True)

    def learn(self, endpoint: Endpoint, file: File, answer: Answer) -> None:
        """Take over what an endpoint answered about a file."""
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
        """Those that C(pick) chooses among."""
        return self.all

    def is_alive(self) -> bool:
        """Whether somebody who is waited for is known to be at work."""
        return False

    def pick(self, path: str, holder: str | None = None) -> tuple[Endpoint | None, float]:
        """The endpoint to fetch a file from now; or None, and the seconds until one can be asked again (infinite when none ever can).

        :param holder: of a file that has to come from one endpoint alone, the one that its bytes are from, empty while there are none
        """
        with self.lock:
            now = time.monotonic()
            able = [endpoint for endpoint in self.candidates() if endpoint.has(path)]
            held = next((one for one in able if one.url == holder), None)
            if held is not None and held.failures < WHOLE_FAILURES:
                able = [held]
            ready = [endpoint for endpoint in able if endpoint.backoff_until <= now]
            if ready:
                # A file that was wrong once comes from elsewhere; of those that are too slow the fastest comes first.
                return min(ready, key=lambda one: (
                    one.wrong.get(path, 0), one.begun.get(path, 0) if holder is not None and one is not held else 0,
                    one.slow_until > now, -one.slow_rate if one.slow_until > now else 0.0,
                )), 0.0
            return None, min((endpoint.backoff_until - now for endpoint in able), default=float("inf"))

    def too_slow(self, endpoint: Endpoint, rate: float) -> bool:
        """Deprioritise an endpoint because of its rate in bytes a second; False when there is no other one to use."""
        with self.lock:
            now = time.monotonic()
            others = [one for one in self.all if one is not endpoint and one.backoff_until <= now and one.slow_until <= now and not one.lacks]
            if not others:
                return False
            endpoint.slow_until, endpoint.slow_rate = now + self.slow_seconds, rate
            endpoint.said = f"too slow: {size_text(rate)}/s"
            return True

    def report(self, path: str = "") -> str:
        """What each endpoint said last, for one error that tells all; about one file where it is named."""
        return "; ".join(f"{masked(one.url)} answered: {one.lacks.get(path) or self._wrong(one, path) or one.said}" for one in self.all)

    @staticmethod
    def _wrong(endpoint: Endpoint, path: str) -> str:
        """How often it sent wrong bytes of a file; without one, of all files."""
        count = endpoint.wrong.get(path, 0) if path else sum(endpoint.wrong.values())
        return f"wrong bytes, {count} times" if count else ""
