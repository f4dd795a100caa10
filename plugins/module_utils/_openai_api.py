# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask an OpenAI-compatible server something. Standard library only: it runs on bare hosts and in any execution environment.

Nothing that a server answers is trusted: its length and the time that it takes are bounded, and whatever it is, it is an answer or an ApiError.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import ssl
import threading
import typing as t
import urllib.parse

from ._masking import masked

# Bytes of an answer that are read; an embedding has some 100 kB, the metrics of an engine with many ranks 2 MB.
MOST_BYTES = 16 * 2**20
# Letters of an answer that are shown.
SHOWN = 500


class ApiError(Exception):
    """What a server answered instead of what a working one answers. C(status) is that of the answer, 0 where there was none."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Trust:
    """Whose certificate is taken of a server that speaks TLS.

    C(verify) false takes any, as for a server on this very host, where nobody else can answer. C(name) is whose the certificate has to be where it is
    not that of the address, and C(authorities) a file with the certificates to trust instead of the system's.
    """

    verify: bool = True
    name: str = ""
    authorities: str = ""

    def context(self) -> ssl.SSLContext:
        """Return what a connection is made with. Raises OSError when the file cannot be read."""
        if not self.verify:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            return ssl.create_default_context(cafile=self.authorities or None)
        except OSError as error:
            raise OSError(f"the certificates in {self.authorities} cannot be read: {error}") from error


class Api:
    """One server: base address without /v1, key (may be empty), seconds that an answer may take from the first byte sent to the last one read."""

    def __init__(self, url: str, key: str, timeout: float, trust: Trust = Trust()) -> None:
        parts = urllib.parse.urlsplit(url.rstrip("/"))
        self.host, self.base = parts.hostname or "", parts.path
        self.is_encrypted = parts.scheme == "https"
        self.port = parts.port or (443 if self.is_encrypted else 80)
        self.key, self.timeout, self.trust = key, timeout, trust
        if not (key.isascii() and key.isprintable()):
            # What refuses it further down shows it.
            raise ApiError("the API key has characters that a header cannot hold")

    def call(self, path: str, body: t.Any = None) -> t.Any:
        """Return the JSON (None where the body is empty) that a GET, or with a body a POST, is answered with. Raises ApiError."""
        text = self.read(path, None if body is None else json.dumps(body).encode())
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            # Not with its cause, which has all of the answer.
            raise ApiError(f"{path} answered something that is not JSON ({type(error).__name__}): {self._hidden(shown(text))}", 200) from None

    def _hidden(self, said: str) -> str:
        """Return what a server said without the key, which it may well give back."""
        return masked(said, self.key)

    def read(self, path: str, body: bytes | None = None, content_type: str = "application/json", timeout: float | None = None) -> bytes:
        """Return the body that a request is answered with. Raises ApiError, also for another status than 200 and its like."""
        seconds = self.timeout if timeout is None else timeout
        try:
            status, text = self._exchange(path, body, content_type, seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiError(f"{path}: {self._hidden(explain(error, self, seconds))}") from error
        if not 200 <= status < 300:
            hint = " (is api_key of the service what it was started with?)" if status == 401 else ""
            raise ApiError(f"{path} answered {status}: {self._hidden(shown(text))}{hint}", status)
        return text

    def _exchange(self, path: str, body: bytes | None, content_type: str, seconds: float) -> tuple[int, bytes]:
        sockets: list[socket.socket] = []
        connection: http.client.HTTPConnection = self._connection(seconds, sockets)
        expired = threading.Event()
        # A bound on the whole, since a server that sends a byte now and then keeps within that of each read.
        timer = threading.Timer(seconds, self._cut, (sockets, expired))
        timer.daemon = True
        timer.start()
        try:
            headers = {"Content-Type": content_type, "Connection": "close", "Accept-Encoding": "identity"}
            if self.key:
                headers["Authorization"] = f"Bearer {self.key}"
            # No proxy and no redirect: http.client knows neither, and nothing is to get a key but the service.
            connection.request("GET" if body is None else "POST", self.base + path, body, headers)
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise ValueError(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
            if answer.length:
                # What is missing is an exception only of a read without a bound.
                raise http.client.IncompleteRead(text, answer.length)
            if expired.is_set():
                raise TimeoutError
            return answer.status, text
        except (OSError, ValueError, http.client.HTTPException) as error:
            if expired.is_set():
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()
            connection.close()
            for one in sockets:
                one.close()

    @staticmethod
    def _cut(sockets: list[socket.socket], expired: threading.Event) -> None:
        expired.set()
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It has ended meanwhile.

    def _connection(self, seconds: float, sockets: list[socket.socket]) -> http.client.HTTPConnection:
        """Return a connection to be made; what it is made of is added to the sockets, to be cut off at any time, in TLS's own beginning too."""
        known = self.trust.name or self.host
        made: http.client.HTTPConnection
        if self.is_encrypted:
            made = http.client.HTTPSConnection(known, self.port, timeout=seconds, context=self.trust.context())
        else:
            made = http.client.HTTPConnection(known, self.port, timeout=seconds)

        def connect(_address: t.Any, *rest: t.Any) -> socket.socket:
            # By its address, and known by its name.
            found = socket.create_connection((self.host, self.port), *rest)
            sockets.append(found.dup())
            return found

        made._create_connection = connect  # type: ignore[attr-defined]
        return made


def explain(error: Exception, api: Api, seconds: float) -> str:
    """Return in words why there is no answer, and the fix where it is about the certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        name = api.trust.name or api.host
        trusted = api.trust.authorities or "the system's certificate authorities"
        if error.verify_code in (62, 64):
            return f"its certificate is not for {name} ({error.verify_message}): write the name that it is for as tls_server_name of the service"
        return f"its certificate for {name} is not trusted ({error.verify_message}; by {trusted}): name its authority's file with verify_ca_file"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS as it should: {error.reason or error}"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"no whole answer after {seconds:.0f} s"
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer was cut off after {len(error.partial)} bytes"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return f"what answers does not speak HTTP: {shown(error.line)}"
    if isinstance(error, http.client.HTTPException):
        return f"what answers does not speak HTTP as it should: {shown(error) or type(error).__name__}"
    return shown(error) or type(error).__name__


def shown(text: t.Any) -> str:
    """Return the beginning of something that a server said, on one line and without control characters."""
    # A character has four bytes at most.
    words = text[:4 * SHOWN].decode(errors="replace") if isinstance(text, bytes) else str(text)[:4 * SHOWN]
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    return clean if len(clean) <= SHOWN else clean[:SHOWN] + "…"
