# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to an OpenAI-compatible server. Standard library only: it runs on bare hosts and in any execution environment.

Answers are not trusted: length and time are limited, and every outcome is either an answer or an ApiError.
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

# Limit for an answer in bytes; an embedding has some 100 kB, the metrics of an engine with many ranks 2 MB.
MOST_BYTES = 16 * 2**20
# How many characters of an answer are shown.
SHOWN = 500


class ApiError(Exception):
    """A server's error. C(status) is the HTTP status of the answer, 0 when there was none."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Trust:
    """Which certificates of a TLS server are trusted.

    C(verify) false accepts any certificate, for a server on this host, which nobody can impersonate. C(name) is the expected name in the certificate if
    it differs from the URL's, and C(authorities) a file with the certificates to trust instead of the system's.
    """

    verify: bool = True
    name: str = ""
    authorities: str = ""

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for a connection. Raises OSError when the file cannot be read."""
        if not self.verify:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            return ssl.create_default_context(cafile=self.authorities or None)
        except OSError as error:
            raise OSError(f"cannot read the certificates in {self.authorities}: {error}") from error


class Api:
    """One server: base URL without /v1, key (may be empty), timeout for a whole answer in seconds."""

    def __init__(self, url: str, key: str, timeout: float, trust: Trust = Trust()) -> None:
        parts = urllib.parse.urlsplit(url.rstrip("/"))
        self.host, self.base = parts.hostname or "", parts.path
        self.is_encrypted = parts.scheme == "https"
        self.port = parts.port or (443 if self.is_encrypted else 80)
        self.key, self.timeout, self.trust = key, timeout, trust
        if not (key.isascii() and key.isprintable()):
            # http.client would reject it too, but show the key in its error.
            raise ApiError("the API key has characters that are not allowed in a header")

    def call(self, path: str, body: t.Any = None) -> t.Any:
        """Return the JSON answer (None when it is empty) to a GET, or with a body to a POST. Raises ApiError."""
        text = self.read(path, None if body is None else json.dumps(body).encode())
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            # Without the exception as its cause, which has the whole answer.
            raise ApiError(f"{path} answered something that is not JSON ({type(error).__name__}): {self._hidden(shown(text))}", 200) from None

    def _hidden(self, said: str) -> str:
        """Return a server's message without the key, which the server may have quoted."""
        return masked(said, self.key)

    def read(self, path: str, body: bytes | None = None, content_type: str = "application/json", timeout: float | None = None) -> bytes:
        """Return the body of the answer. Raises ApiError, also for a status other than 2xx."""
        seconds = self.timeout if timeout is None else timeout
        try:
            status, text = self._exchange(path, body, content_type, seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiError(f"{path}: {self._hidden(explain(error, self, seconds))}") from error
        if not 200 <= status < 300:
            hint = " (is the service's api_key the one that it was started with?)" if status == 401 else ""
            raise ApiError(f"{path} answered {status}: {self._hidden(shown(text))}{hint}", status)
        return text

    def _exchange(self, path: str, body: bytes | None, content_type: str, seconds: float) -> tuple[int, bytes]:
        sockets: list[socket.socket] = []
        connection: http.client.HTTPConnection = self._connection(seconds, sockets)
        expired = threading.Event()
        # A timeout for the whole answer: a server that sends single bytes never exceeds the timeout of one read.
        timer = threading.Timer(seconds, self._cut, (sockets, expired))
        timer.daemon = True
        timer.start()
        try:
            headers = {"Content-Type": content_type, "Connection": "close", "Accept-Encoding": "identity"}
            if self.key:
                headers["Authorization"] = f"Bearer {self.key}"
            # http.client uses no proxy and follows no redirect, so only the service gets the key.
            connection.request("GET" if body is None else "POST", self.base + path, body, headers)
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                raise ValueError(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
            if answer.length:
                # A read with a limit does not raise this by itself.
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
                pass  # It is closed already.

    def _connection(self, seconds: float, sockets: list[socket.socket]) -> http.client.HTTPConnection:
        """Return a connection that adds its socket to the list, so that it can be shut down at any time, even during the TLS handshake."""
        known = self.trust.name or self.host
        made: http.client.HTTPConnection
        if self.is_encrypted:
            made = http.client.HTTPSConnection(known, self.port, timeout=seconds, context=self.trust.context())
        else:
            made = http.client.HTTPConnection(known, self.port, timeout=seconds)

        def connect(_address: t.Any, *rest: t.Any) -> socket.socket:
            # Connect to the URL's address; TLS verifies the name.
            found = socket.create_connection((self.host, self.port), *rest)
            sockets.append(found.dup())
            return found

        made._create_connection = connect  # type: ignore[attr-defined]
        return made


def explain(error: Exception, api: Api, seconds: float) -> str:
    """Return why there is no answer, with the fix for errors of the certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        name = api.trust.name or api.host
        trusted = api.trust.authorities or "the system's certificate authorities"
        if error.verify_code in (62, 64):
            return f"its certificate is not for {name} ({error.verify_message}): set the service's tls_server_name to the name in the certificate"
        return f"its certificate for {name} is not trusted by {trusted} ({error.verify_message}): set verify_ca_file to the file of its authority"
    if isinstance(error, ssl.SSLError):
        return f"TLS error: {error.reason or error}"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"no complete answer after {seconds:.0f} s"
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer was cut off after {len(error.partial)} bytes"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return f"the answer is not HTTP: {shown(error.line)}"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not valid HTTP: {shown(error) or type(error).__name__}"
    return shown(error) or type(error).__name__


def shown(text: t.Any) -> str:
    """Return the beginning of a server's message, on one line and without control characters."""
    # A character has four bytes at most.
    words = text[:4 * SHOWN].decode(errors="replace") if isinstance(text, bytes) else str(text)[:4 * SHOWN]
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    return clean if len(clean) <= SHOWN else clean[:SHOWN] + "…"
