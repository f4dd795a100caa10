# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host reaches the endpoints of weights and the package indexes, and how fast they send: one small request to each, side by side."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t
import urllib.parse

from .._http_client import REASONS, HttpClient, HttpError
from ..fetch import endpoints
from .context import Context
from .finding import Result, error, warning

# Time limit of a request in seconds, and requests at the same time.
SECONDS = 10
AT_ONCE = 8
# From how many seconds on an answer of a few bytes counts as slow.
SLOW = 5.0
# What a server sends to a client without, or with a wrong, token or password.
_REFUSED = (401, 403)
# The server is there, and this one file is not: not every index has every package.
_MISSING = 404


class Answer(t.NamedTuple):
    """Status (0 without an answer), error, seconds until the answer, and the rate in bytes a second (None when it was not measured)."""

    status: int
    error: str
    seconds: float
    rate: t.Optional[float]


def check(context: Context) -> Result:
    """Each URL of the context, a dictionary with C(name), C(url), C(token) and C(setting) (the variable that names it)."""
    if not context.mirrors:
        return
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, context.mirrors))
    for mirror, answer in zip(context.mirrors, answers):
        yield from judge(mirror, answer, context.min_rate)


def ask(mirror: t.Mapping[str, t.Any]) -> Answer:
    """Request the beginning of a file: a megabyte where the rate counts (C(measure)), else a few bytes."""
    url, token, began = str(mirror["url"]), str(mirror.get("token") or ""), time.monotonic()
    if mirror.get("measure"):
        found = endpoints.ask(url, token, endpoints.LARGE)
        measured = found.rate if found.size is not None and found.size >= endpoints.SAMPLE else None
        return Answer(found.status, found.error, time.monotonic() - began, measured)
    try:
        seen = HttpClient(SECONDS).get(url, token, limit=1, whole=False)
    except HttpError as problem:
        return Answer(0, str(problem), time.monotonic() - began, None)
    reason = "" if seen.status < 400 else f"{seen.status} {REASONS.get(seen.status, '')}"
    return Answer(seen.status, reason, time.monotonic() - began, None)


def judge(mirror: t.Mapping[str, t.Any], answer: Answer, min_rate: int) -> Result:
    """Name what is wrong with an answer."""
    parts = urllib.parse.urlsplit(str(mirror["url"]))
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    what, command = f"{mirror['name']} {place} ({mirror['setting']})", f"curl -sS -o /dev/null -w '%{{http_code}} %{{time_total}} s\\n' {place}/"
    if answer.status in _REFUSED:
        yield warning("mirror-refuses", f"{what} refuses this host's request with {answer.status}: a token or password is missing or wrong", command)
    elif answer.error and answer.status != _MISSING:
        yield error("mirror-unreachable", f"{what} is not usable from this host: {answer.error}", command)
    elif answer.rate is not None and answer.rate < min_rate:
        yield warning("mirror-slow", f"{what} sends {answer.rate / 1e6:.2f} MB a second, less than weights_min_rate ({min_rate / 1e6:.2f} MB)", command)
    elif answer.seconds > SLOW:
        yield warning("mirror-slow", f"{what} needs {answer.seconds:.1f} s for the beginning of an answer", command)
