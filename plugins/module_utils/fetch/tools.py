# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that downloads: curl, one process and connection for each file.

curl appends to a file as its bytes come, so whatever ends it (a cut connection, a kill, a full disk, a reboot) the next start goes on
where it stopped, from any endpoint. Secrets go to it on standard input, never on its command line.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
import typing as t

from .._exit_status import describe
from .._http_client import AGENT, one_line
from .._masking import masked
from .contents import File, size_of
from .endpoints import CONNECT_SECONDS, Endpoint, seconds_of

# curl's exit statuses (its manual): the ones that are not about the connection.
WRITE_ERROR, NO_RANGES, HTTP_ERROR = 23, 33, 22
# Bytes of all headers of one answer that are looked at.
HEADERS = 256 * 1024


class Outcome(t.NamedTuple):
    """How a program ended: what it said of the endpoint, if anything, and what follows from it."""

    said: str = ""
    status: int = 0
    retry_after: float | None = None
    disk: bool = False
    no_ranges: bool = False


class Curl:
    """Downloads files of a commit into a directory, and is stopped from another thread if need be."""

    # Bytes that it may write into one file beyond the size that was announced: enough to see that there are more.
    beyond = 1024 * 1024

    def __init__(self, spec: dict[str, t.Any], base: str) -> None:
        self.spec, self.base = spec, base
        self.lock = threading.Lock()
        self.running: dict[subprocess.Popen[str], Endpoint] = {}

    def bytes_of(self, file: File) -> int:
        """How much of a file is there, in bytes."""
        return min(max(size_of(os.path.join(self.base, file["path"])), 0), file["size"])

    def busy(self) -> list[Endpoint]:
        """The endpoints that are being downloaded from, one entry a process."""
        with self.lock:
            return list(self.running.values())

    def stop(self, endpoint: Endpoint | None = None) -> None:
        """End the processes that download from an endpoint, or all."""
        with self.lock:
            for process, used in self.running.items():
                if endpoint in (None, used) and process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, endpoint: Endpoint, settings: str, file: File, keep: int) -> tuple[int, str]:
        """Run curl with these settings to its end and return its status and output. Whatever a server sends, no file gets much larger than announced."""
        process = subprocess.Popen(
            ["curl", "--disable", "--config", "-"], text=True, errors="replace", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(keep,),
        )
        most = file["size"] + self.beyond
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        except (ProcessLookupError, PermissionError, ValueError):
            # It has ended already, or has a lower limit.
            pass
        with self.lock:
            self.running[process] = endpoint
        try:
            said, _none = process.communicate(settings)
        finally:
            with self.lock:
                del self.running[process]
        # It quotes addresses, and what a server has said.
        return process.returncode, masked(said, endpoint.token, endpoint.url)

    def fetch(self, endpoint: Endpoint, file: File) -> Outcome:
        """Fetch what is missing of a file. Returns when curl has ended, for whatever reason."""
        path = os.path.join(self.base, file["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        have = max(size_of(path), 0)
        if have and endpoint.without_ranges:
            os.unlink(path)
            have = 0
        url = endpoint.address(self.spec["repo"], self.spec["commit"], file["path"])
        # In memory: a disk that is full has no room for them either.
        headers = os.memfd_create("headers")
        try:
            settings = self.settings(endpoint, url, path, have, f"/proc/self/fd/{headers}")
            status, said = self.run(endpoint, settings, file, headers)
            head = os.pread(headers, HEADERS, max(0, os.fstat(headers).st_size - HEADERS)).decode("latin-1")
        finally:
            os.close(headers)
        if file["size"] == 0 and status == 0:
            # curl makes no file for nothing.
            with open(path, "ab"):
                pass
        return self.outcome(status, said, head, endpoint.token)

    def settings(self, endpoint: Endpoint, url: str, path: str, have: int, headers: str) -> str:
        """curl's configuration file. It gives an Authorization header to no other host than the first."""
        lines = [
            f"url = {quoted(url)}", f"output = {quoted(path)}", f"dump-header = {quoted(headers)}", f"user-agent = {quoted(AGENT)}",
            'proto = "=http,https"', "location", "max-redirs = 10", "globoff", "fail", "silent", "show-error",
            # A redirect never leads from an encrypted connection to an open one, nor to a file of the host.
            f"proto-redir = {'=https' if url.startswith('https:') else '=http,https'}",
            f"connect-timeout = {CONNECT_SECONDS}", "speed-limit = 1", f"speed-time = {self.spec['rate_seconds']}",
        ]
        if have:
            lines.append(f"continue-at = {have}")
        if endpoint.direct:
            lines.append('noproxy = "*"')
        if endpoint.token:
            lines.append(f"header = {quoted('Authorization: Bearer ' + endpoint.token)}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def outcome(status: int, said: str, head: str, token: str = "") -> Outcome:
        """Put curl's exit status, its words and the headers of all answers into an outcome. What it tells is one line without the token."""
        if status == 0:
            return Outcome()
        answers = re.split(r"(?m)^HTTP/[\d.]+ ", head)
        code = int(answers[-1][:3]) if len(answers) > 1 and answers[-1][:3].isdigit() else 0
        if status == HTTP_ERROR and code:
            found = re.search(r"(?mi)^Retry-After:\s*(.*?)\s*$", answers[-1])
            message = re.search(r"(?mi)^X-Error-Message:\s*(.*?)\s*$", answers[-1])
            said = f"{code} {message.group(1) if message else answers[-1].splitlines()[0][4:]}".strip()
            return Outcome(one_line(said, token), code, seconds_of(found.group(1)) if found else None)
        said = next((line for line in reversed(said.splitlines()) if line.strip()), f"curl {describe(status)}")
        return Outcome(one_line(said, token), disk=status == WRITE_ERROR, no_ranges=status == NO_RANGES)


def quoted(text: str) -> str:
    """Return text as curl's configuration files want it. Raises ValueError of what would not stay on its line."""
    if not text.isprintable():
        raise ValueError("a control character in a setting of curl")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
