# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests to untrusted servers. Standard library only: it runs on the controller, in modules and in programs of units.

A whole answer with its redirects has a deadline and a size limit. Only http and https are allowed, and no redirect from https to http.
A token is sent only to the host that it is meant for, also after a redirect to the same host. The text of an error is one short line without
the token.
"""

from __future__ import annotations

import http
import http.client
import io
import json
import socket
import ssl
import time
import typing as t
import urllib.parse
import urllib.request

from ._endpoint_kinds import session_cookie
from ._masking import masked

AGENT = "inferops.gpu"
REASONS = {status.value: status.phrase for status in http.HTTPStatus}
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 10
# Limit for a JSON answer in bytes: a page of some 50,000 files.
JSON_BYTES = 16 * 1024 * 1024
# How many characters of a server's text are shown, and the longest number in digits that is accepted.
SHOWN = 200
DIGITS = 19

_PORTS = {"http": 80, "https": 443}


class HttpError(Exception):
    """No usable answer: C(str()) is one line to show, without secrets."""


class Answer(t.NamedTuple):
    """An answer with any status. C(url) is its URL after redirects, C(body) is not longer than the requested limit."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes
    url: str


def one_line(value: t.Any, secret: str = "", limit: int = SHOWN) -> str:
    """Return text of a server or an exception as one printable line of at most C(limit) characters without a secret."""
    text = str(value)[: 16 * limit]
    text = masked(text, secret)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def whole_number(text: t.Any) -> int | None:
    """Return the number in a header's text; None when it is not a number, or too long."""
    read = str(text).strip() if text is not None else ""
    return int(read) if read.isascii() and read.isdigit() and len(read) <= DIGITS else None


def token_error(token: str) -> str:
    """Return why a token cannot be sent in a header, without quoting it; empty when it can."""
    if not token or (token.isascii() and token.isprintable() and not any(letter.isspace() for letter in token)):
        return ""
    return "the token has white space, a line break or a character that is not allowed in tokens"


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL. Raises ValueError."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme.lower(), 0)


def may_see_token(url: str, target: str) -> bool:
    """Whether a token for one URL may be sent to another: on the same host and port, or from http to https. Raises ValueError."""
    first, second = origin(url), origin(target)
    return first == second or (first[1] == second[1] and (first[0], first[2], second[0], second[2]) == ("http", 80, "https", 443))


def redirected(url: str, location: str) -> str:
    """Return the target of a redirect. Raises HttpError when it must not be followed."""
    try:
        target = urllib.parse.urljoin(url, urllib.parse.quote(location.strip()[:8192], safe="".join(chr(code) for code in range(33, 127))))
        scheme, host, _port = origin(target)
    except ValueError as error:
        raise HttpError(f"it redirects to an invalid URL: {one_line(location)}") from error
    if scheme not in _PORTS or not host:
        raise HttpError(f"it redirects to {one_line(target)}, which is not http or https")
    if urllib.parse.urlsplit(url).scheme.lower() == "https" and scheme != "https":
        raise HttpError(f"it redirects from https to {one_line(target)}, which is not encrypted")
    return target


class _Timed(io.RawIOBase):
    """The bytes of a socket until a deadline of the monotonic clock, also when they arrive slowly."""

    def __init__(self, raw: t.Any, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left)
        return int(self._raw.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def _timed(connection: t.Any, deadline: float) -> t.Any:
    """A connection class whose answers have a deadline."""

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: t.Any, **named: t.Any) -> None:
            super().__init__(sock, *arguments, **named)
            self.fp = io.BufferedReader(_Timed(t.cast(t.Any, self.fp).detach(), sock, deadline))

    return type("Connection", (connection,), {"response_class": Response})


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self._connection = _timed(http.client.HTTPConnection, deadline)

    def http_open(self, req: t.Any) -> t.Any:
        return self.do_open(self._connection, req)


class _Https(urllib.request.AbstractHTTPHandler):
    def __init__(self, deadline: float, client: HttpClient) -> None:
        super().__init__()
        self._deadline, self._client = deadline, client

    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def https_open(self, req: t.Any) -> t.Any:
        return self.do_open(_timed(http.client.HTTPSConnection, self._deadline), req, context=self._client.context())


class HttpClient:
    """Sends requests with one trust store and one timeout.

    C(timeout): seconds that a whole answer may take, with its redirects. C(ca_certificates): PEM texts to trust besides the host's own
    store. C(direct): whether to bypass the proxies of the environment.
    """

    def __init__(self, timeout: float, ca_certificates: t.Sequence[str] = (), direct: bool = False) -> None:
        self.timeout, self.direct = timeout, direct
        self.ca_certificates = tuple(ca_certificates)
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The trust store, which takes some time to read and is therefore loaded only for https. Raises HttpError."""
        if self._context is None:
            context = ssl.create_default_context()
            for certificate in self.ca_certificates:
                try:
                    context.load_verify_locations(cadata=certificate)
                except (ValueError, OSError) as error:
                    raise HttpError("a certificate in host_ca_certificates is not in PEM format") from error
            self._context = context
        return self._context

    def get(
        self, url: str, token: str = "", limit: int = JSON_BYTES, whole: bool = True, method: str = "GET", follow: bool = True,
        headers: t.Mapping[str, str] | None = None, seen: t.Callable[[str, int, t.Any], None] | None = None, session: bool = False,
    ) -> Answer:
        """Return the answer with any status. Raises HttpError.

        :param limit: how many bytes to read
        :param whole: whether a longer or truncated answer is an error
        :param seen: called with URL, status and headers of each answer, including redirects
        :param session: whether the token is sent as ModelScope's session cookie too
        """
        refused = token_error(token)
        if refused:
            raise HttpError(refused)
        deadline, address = time.monotonic() + self.timeout, url
        handlers: list[t.Any] = [_Http(deadline), _Https(deadline, self)]
        opener = urllib.request.OpenerDirector()
        for handler in handlers if self.direct else [urllib.request.ProxyHandler(), *handlers]:
            opener.add_handler(handler)
        try:
            for _hop in range(HOPS + 1):
                if origin(address)[0] not in _PORTS:
                    raise HttpError("the URL is not an http or https URL")
                request = urllib.request.Request(address, headers={"User-Agent": AGENT, **(headers or {})}, method=method)
                if token and may_see_token(url, address):
                    request.add_unredirected_header("Authorization", f"Bearer {token}")
                    if session:
                        request.add_unredirected_header("Cookie", session_cookie(token))
                found: t.Any = opener.open(request, timeout=max(deadline - time.monotonic(), 0.001))
                if found is None:
                    raise HttpError("the URL is not an http or https URL")
                with found:
                    if seen is not None:
                        seen(address, found.status, found.headers)
                    location = found.headers.get("Location")
                    if follow and found.status in REDIRECTS and location:
                        address = redirected(address, location)
                        continue
                    body = found.read(limit + 1) if whole else _beginning(found, limit)
                    if whole and len(body) > limit:
                        raise HttpError(f"the answer is longer than {limit} bytes")
                    if whole and method != "HEAD" and found.length:
                        raise HttpError("the answer was cut off")
                    return Answer(found.status, found.headers, body, address)
        except (OSError, ValueError, http.client.HTTPException) as error:
            whose = "" if address == url else f"it redirects to {_host_of(address, token)}: "
            raise HttpError(whose + _words(error, token)) from None
        raise HttpError(f"more than {HOPS} redirects")


def _beginning(found: t.Any, limit: int) -> bytes:
    """Read the first bytes of a body: up to the limit, or up to the deadline. Raises OSError when none arrive."""
    body = b""
    try:
        while len(body) < limit:
            more = found.read1(limit - len(body))
            if not more:
                break
            body += more
    except (TimeoutError, socket.timeout):
        if not body:
            raise
    return body


def _host_of(url: str, token: str) -> str:
    """Return host and port of a URL from a server, without user and password."""
    return one_line(urllib.parse.urlsplit(url).netloc.rpartition("@")[2], token)


def _words(error: Exception, token: str) -> str:
    """Describe an exception. Exceptions for an invalid URL or header are not quoted, since they may contain secrets."""
    if isinstance(error, OSError):
        return one_line(getattr(error, "reason", None) or error, token) or type(error).__name__
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.InvalidURL):
        return f"it does not speak HTTP ({type(error).__name__}: {one_line(error, token)})"
    return "the URL is not valid"


def parse_json(body: bytes) -> t.Any:
    """Return the value of a JSON text. Raises ValueError when it is not JSON, nested too deeply, or has a number that is too long."""

    def number(text: str) -> int:
        if len(text) > DIGITS + 1:
            raise ValueError("a number is too long")
        return int(text)

    def constant(text: str) -> t.NoReturn:
        raise ValueError(f"{text} is not JSON")

    try:
        return json.loads(body.decode("utf-8"), parse_int=number, parse_constant=constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
