# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that downloads: curl, one process and connection for each file.

curl appends to a file as data arrives. After a broken connection, a kill, a full disk or a reboot the next start continues
where it stopped, from any endpoint. curl gets secrets on standard input, never on its command line.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
import typing as t

from .._endpoint_kinds import session_cookie
from .._exit_status import describe
from .._http_client import AGENT, one_line
from .._masking import masked
from .contents import File, size_of
from .endpoints import CONNECT_SECONDS, Endpoint, seconds_of

# curl's exit statuses (see its manual) that are not about the connection.
WRITE_ERROR, NO_RANGES, HTTP_ERROR = 23, 33, 22
# How many bytes of an answer's headers are read.
HEADERS = 256 * 1024


class Outcome(t.NamedTuple):
    """How curl ended: its message about the endpoint, if any, and what follows from it."""

    said: str = ""
    status: int = 0
    retry_after: float | None = None
    disk: bool = False
    no_ranges: bool = False


class Curl:
    """Downloads files of a commit into a directory. Another thread may stop it."""

    # How many bytes a file may exceed its announced size: enough to detect that it is too large.
    beyond = 1024 * 1024

    def __init__(self, spec: dict[str, t.Any], base: str) -> None:
        self.spec, self.base = spec, base
        self.lock = threading.Lock()
        self.running: dict[subprocess.Popen[str], Endpoint] = {}

    def bytes_of(self, file: File) -> int:
        """How many bytes of a file are on the disk."""
        return min(max(size_of(os.path.join(self.base, file["path"])), 0), file["size"])

    def busy(self) -> list[Endpoint]:
        """The endpoints in use, one entry for each process."""
        with self.lock:
            return list(self.running.values())

    def stop(self, endpoint: Endpoint | None = None) -> None:
        """Stop the processes that download from an endpoint, or all."""
        with self.lock:
            for process, used in self.running.items():
                if endpoint in (None, used) and process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)

    def run(self, endpoint: Endpoint, settings: str, file: File, keep: int) -> tuple[int, str]:
        """Run curl with these settings and return its status and output. A limit keeps files from growing far beyond their announced size."""
        process = subprocess.Popen(
            ["curl", "--disable", "--config", "-"], text=True, errors="replace", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(keep,),
        )
        most = file["size"] + self.beyond
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        except (ProcessLookupError, PermissionError, ValueError):
            # curl has ended already, or has a lower limit.
            pass
        with self.lock:
            self.running[process] = endpoint
        try:
            said, _none = process.communicate(settings)
        finally:
            with self.lock:
                del self.running[process]
        # curl's output quotes URLs and the server's messages.
        return process.returncode, masked(said, endpoint.token, endpoint.url)

    def fetch(self, endpoint: Endpoint, file: File) -> Outcome:
        """Fetch the missing part of a file. Returns when curl has ended."""
        path = os.path.join(self.base, file["path"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        have = max(size_of(path), 0)
        if have and not endpoint.resumes(file["path"]):
            os.unlink(path)
            have = 0
        url = endpoint.address(self.spec["repo"], self.spec["commit"], file["path"])
        # In memory, since the disk may be full.
        headers = os.memfd_create("headers")
        try:
            settings = self.settings(endpoint, url, path, have, f"/proc/self/fd/{headers}")
            status, said = self.run(endpoint, settings, file, headers)
            head = os.pread(headers, HEADERS, max(0, os.fstat(headers).st_size - HEADERS)).decode("latin-1")
        finally:
            os.close(headers)
        if file["size"] == 0 and status == 0:
            # curl creates no file for an empty answer.
            with open(path, "ab"):
                pass
        return self.outcome(status, said, head, endpoint.token)

    def settings(self, endpoint: Endpoint, url: str, path: str, have: int, headers: str) -> str:
        """Return curl's configuration file. On a redirect to another host curl sends neither the Authorization nor the Cookie header."""
        lines = [
            f"url = {quoted(url)}", f"output = {quoted(path)}", f"dump-header = {quoted(headers)}", f"user-agent = {quoted(AGENT)}",
            'proto = "=http,https"', "location", "max-redirs = 10", "globoff", "fail", "silent", "show-error",
            # A redirect never leads from https to http, nor to a file of the host.
            f"proto-redir = {'=https' if url.startswith('https:') else '=http,https'}",
            f"connect-timeout = {CONNECT_SECONDS}", "speed-limit = 1", f"speed-time = {self.spec['rate_seconds']}",
        ]
        if have:
            lines.append(f"continue-at = {have}")
        if endpoint.direct:
            lines.append('noproxy = "*"')
        if endpoint.token:
            lines.append(f"header = {quoted('Authorization: Bearer ' + endpoint.token)}")
            if endpoint.is_modelscope:
                lines.append(f"header = {quoted('Cookie: ' + session_cookie(endpoint.token))}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def outcome(status: int, said: str, head: str, token: str = "") -> Outcome:
        """Return the outcome from curl's exit status, its output and the headers of all answers. Its message is one line without the token."""
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
    """Return text quoted for curl's configuration file. Raises ValueError when it has control characters, such as line breaks."""
    if not text.isprintable():
        raise ValueError("a setting of curl has a control character")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
