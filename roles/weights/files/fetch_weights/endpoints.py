# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places that a file can be fetched from: where each one's data really comes from, and which one is next.

Endpoints are used in the order in which the user wrote them. One that fails rests for a while, longer each time, or for as long as it
asks; one that is too slow goes behind the others; one that has not what it should have is set aside for that file.
"""

from __future__ import annotations

import dataclasses
import email.utils
import http.client
import socket
import ssl
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from contents import File
from progress import words

AGENT = "inferops.gpu"
# Seconds that a connection may take to come about, and an endpoint's first rest.
CONNECT_SECONDS = 10
FIRST_REST = 1.0
LONGEST_REST = 30.0
# How often a file from one endpoint may turn out wrong, and of how many files, before the endpoint is not asked any more.
WRONG_TRIES = 3
WRONG_FILES = 3
# Bytes of a large file that are fetched to see how fast they come. Of a small one a single byte, as they are fetched again.
SAMPLE = 1024 * 1024
LARGE = 1024 * 1024 * 1024
HOPS = 10


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


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that each one can be looked at and the token stays with the endpoint."""

    def redirect_request(self, *_arguments: t.Any) -> None:
        return None


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait: a number of them, or a date."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def ask(url: str, token: str, size: int) -> Answer:
    """Fetch the first bytes of a file (O(size) is all of it) and tell where they came from. Raises nothing that the other side causes."""
    answer, address = Answer(), url
    opener = urllib.request.build_opener(Stay())
    span = SAMPLE if size >= LARGE else 1
    try:
        for _hop in range(HOPS):
            headers = {"User-Agent": AGENT, "Range": f"bytes=0-{span - 1}"}
            if token and origin(address) == origin(url):
                headers["Authorization"] = f"Bearer {token}"
            answer.host = urllib.parse.urlsplit(address).netloc
            try:
                found: t.Any = opener.open(urllib.request.Request(address, headers=headers), timeout=CONNECT_SECONDS)
            except urllib.error.HTTPError as error:
                found = error
            with found:
                answer.status = found.status
                answer.retry_after = seconds_of(found.headers.get("Retry-After"))
                # The endpoint itself names the hash; where the data lies the ETag may be anything.
                answer.sha256 = answer.sha256 or hash_of(found.headers.get("X-Linked-Etag") or "")
                if found.status in (301, 302, 303, 307, 308) and found.headers.get("Location"):
                    address = urllib.parse.urljoin(address, found.headers["Location"])
                    continue
                if found.status in (200, 206):
                    answer.size = total_of(found.headers)
                    began = time.monotonic()
                    # A server without ranges sends everything: a sample of it is enough.
                    got = len(found.read(span))
                    if span > 1:
                        answer.rate = got / max(time.monotonic() - began, 1e-6)
                else:
                    answer.error = f"{found.status} {found.headers.get('X-Error-Message') or found.reason}"
                return answer
        answer.error = f"more than {HOPS} redirects"
    except (OSError, ValueError, socket.timeout, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error
        answer.error = f"no answer from {answer.host}: {reason}"
    except http.client.HTTPException as error:
        # An answer that is not HTTP.
        answer.error = f"no usable answer from {answer.host}: {type(error).__name__} {error}"
    return answer


def origin(url: str) -> tuple[str, str]:
    """Return scheme and host with port: what a token stays with."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def hash_of(etag: str) -> str:
    """Return the sha256 in an ETag, if it is one."""
    bare = etag.strip().removeprefix("W/").strip('"')
    return bare if len(bare) == 64 and all(letter in "0123456789abcdef" for letter in bare) else ""


def total_of(headers: t.Any) -> int | None:
    """Return the size of the whole file in bytes, as the headers of an answer to a range have it."""
    text = (headers.get("Content-Range") or "").rpartition("/")[2] or headers.get("Content-Length") or ""
    return int(text) if text.isdigit() else None


class Endpoint:
    """One endpoint and what was learned of it. Not to be used by several threads at once: C(Endpoints) sees to that."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.rest_until = 0.0
        self.failures = 0
        # Behind the others until then, and at what rate it was found too slow.
        self.slow_until, self.slow_rate = 0.0, 0.0
        self.said = "not asked"
        self.wrong: dict[str, int] = {}
        self.lacks: dict[str, str] = {}
        self.without_ranges = False

    def address(self, repo: str, commit: str, path: str) -> str:
        """The address of a file of a commit."""
        return f"{self.url}/{repo}/resolve/{commit}/{urllib.parse.quote(path)}"

    def has(self, path: str) -> bool:
        """Whether it is worth asking for a file."""
        many = sum(1 for count in self.wrong.values() if count) >= WRONG_FILES
        return path not in self.lacks and self.wrong.get(path, 0) < WRONG_TRIES and not many

    def rest(self, said: str, retry_after: float | None = None) -> None:
        """Leave it alone for a while: as long as it asks, else longer with each failure."""
        if time.monotonic() >= self.rest_until:
            # Of several connections that fail at the same time the first one counts.
            self.failures += 1
        seconds = min(FIRST_REST * 2 ** (self.failures - 1), LONGEST_REST)
        if retry_after is not None:
            seconds = max(retry_after, FIRST_REST)
            said = f"{said}, to be asked again in {retry_after:.0f} s"
        self.rest_until = max(self.rest_until, time.monotonic() + seconds)
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
        # An endpoint that was too slow is behind the others for so long.
        self.slow_seconds = slow_seconds

    def probe(self, repo: str, commit: str, file: File) -> None:
        """Ask every endpoint for a file, all at the same time, and say where each one's data comes from."""
        answers: dict[str, Answer] = {}

        def one(endpoint: Endpoint) -> None:
            answers[endpoint.url] = ask(endpoint.address(repo, commit, file["path"]), endpoint.token, file["size"])

        threads = [threading.Thread(target=one, args=(endpoint,)) for endpoint in self.all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for endpoint in self.all:
            self.learn(endpoint, file, answers[endpoint.url])
            print(f"{endpoint.url}: {endpoint.said}", flush=True)

    def learn(self, endpoint: Endpoint, file: File, answer: Answer) -> None:
        """Take over what an endpoint answered about a file."""
        with self.lock:
            if answer.error:
                if answer.status in (401, 403, 404, 410):
                    endpoint.lacks[file["path"]] = answer.error
                    endpoint.said = answer.error
                else:
                    endpoint.rest(answer.error, answer.retry_after)
            elif answer.size not in (None, file["size"]):
                endpoint.lacks[file["path"]] = f"{file['path']} has {answer.size} bytes there instead of {file['size']}"
                endpoint.said = endpoint.lacks[file["path"]]
            elif answer.sha256 and answer.sha256 != file.get("sha256", answer.sha256):
                endpoint.lacks[file["path"]] = f"{file['path']} has sha256 {answer.sha256} there instead of {file['sha256']}"
                endpoint.said = endpoint.lacks[file["path"]]
            else:
                pace = f" at {words(answer.rate)}/s" if answer.rate else ""
                endpoint.said = f"data from {answer.host}{pace}"

    def candidates(self) -> list[Endpoint]:
        """Those that C(pick) chooses among."""
        return self.all

    def is_alive(self) -> bool:
        """Whether somebody who is waited for is known to be at work."""
        return False

    def pick(self, path: str) -> tuple[Endpoint | None, float]:
        """The endpoint to fetch a file from now; or None, and the seconds until one can be asked again (infinite when none ever can)."""
        with self.lock:
            now = time.monotonic()
            able = [endpoint for endpoint in self.candidates() if endpoint.has(path)]
            ready = [endpoint for endpoint in able if endpoint.rest_until <= now]
            if ready:
                # The fastest of those that are too slow comes first among them; a file that was wrong once, from elsewhere.
                return min(ready, key=lambda one: (one.wrong.get(path, 0), one.slow_until > now, -one.slow_rate if one.slow_until > now else 0.0)), 0.0
            return None, min((endpoint.rest_until - now for endpoint in able), default=float("inf"))

    def too_slow(self, endpoint: Endpoint, rate: float) -> bool:
        """Put an endpoint behind the others because of its rate in bytes a second; False when there is no other to go to."""
        with self.lock:
            now = time.monotonic()
            others = [one for one in self.all if one is not endpoint and one.rest_until <= now and one.slow_until <= now and not one.lacks]
            if not others:
                return False
            endpoint.slow_until, endpoint.slow_rate = now + self.slow_seconds, rate
            endpoint.said = f"too slow: {words(rate)}/s"
            return True

    def report(self, path: str = "") -> str:
        """What each endpoint said last, for one error that tells all; about one file where it is named."""
        return "; ".join(f"{one.url} answered: {one.lacks.get(path) or self._wrong(one, path) or one.said}" for one in self.all)

    @staticmethod
    def _wrong(endpoint: Endpoint, path: str) -> str:
        count = endpoint.wrong.get(path, 0)
        return f"wrong bytes, {count} times" if count else ""
