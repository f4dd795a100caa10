# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that download: curl, file by file, or the official Hugging Face client, all files in one process.

curl appends to a file as its bytes come, so whatever ends it (a cut connection, a kill, a full disk, a reboot) the next start goes on
where it stopped, from any endpoint. Secrets go to it on standard input, never on its command line.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import typing as t

from .._exit_status import describe, signal_of
from .._http_client import AGENT, one_line
from .._masking import masked
from .contents import File, size_of
from .endpoints import CONNECT_SECONDS, Endpoint, seconds_of

# curl's exit statuses (its manual): the ones that are not about the connection.
WRITE_ERROR, NO_RANGES, HTTP_ERROR = 23, 33, 22
HUB = "https://huggingface.co"
# Bytes of all headers of one answer that are looked at.
HEADERS = 256 * 1024


class Outcome(t.NamedTuple):
    """How a program ended: what it said of the endpoint, if anything, and what follows from it."""

    said: str = ""
    status: int = 0
    retry_after: float | None = None
    disk: bool = False
    no_ranges: bool = False


class Tool:
    """A program that downloads files of a commit into a directory, stopped from another thread if need be."""

    # Files that one process of it fetches.
    batch = 1
    # Bytes that it may write into one file beyond the size that was announced: enough to see that there are more.
    beyond = 1024 * 1024

    def __init__(self, spec: dict[str, t.Any], base: str) -> None:
        self.spec, self.base = spec, base
        self.lock = threading.Lock()
        self.running: dict[subprocess.Popen[str], Endpoint] = {}

    def fetch(self, endpoint: Endpoint, files: list[File]) -> Outcome:
        """Fetch what is missing of files. Returns when the program has ended, for whatever reason."""
        raise NotImplementedError

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

    def run(
        self, endpoint: Endpoint, command: list[str], environment: dict[str, str], given: str, files: list[File], keep: tuple[int, ...] = (),
    ) -> tuple[int, str]:
        """Run a program to its end and return its status and output. Whatever a server sends, no file gets much larger than announced."""
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=keep,
        )
        most = max((file["size"] for file in files), default=0) + self.beyond
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        except (ProcessLookupError, PermissionError, ValueError):
            # It has ended already, or has a lower limit.
            pass
        with self.lock:
            self.running[process] = endpoint
        try:
            said, _none = process.communicate(given)
        finally:
            with self.lock:
                del self.running[process]
        # Both programs quote addresses, and what a server has said.
        return process.returncode, masked(said, endpoint.token, endpoint.url)


class Curl(Tool):
    """One process and connection for each file."""

    def fetch(self, endpoint: Endpoint, files: list[File]) -> Outcome:
        file = files[0]
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
            status, said = self.run(endpoint, ["curl", "--disable", "--config", "-"], {}, settings, files, (headers,))
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


class HubClient(Tool):
    """The official client, which can take data by Xet from the Hub itself. It begins a file anew when its process has ended."""

    batch = 100_000
    # It keeps files of its own.
    beyond = 256 * 1024 * 1024

    def __init__(self, spec: dict[str, t.Any], base: str) -> None:
        super().__init__(spec, base)
        # Endpoints where Xet has stalled.
        self.without_xet: set[str] = set()

    def fetch(self, endpoint: Endpoint, files: list[File]) -> Outcome:
        drop_leftovers(self.base)
        command = [
            self.spec["hf"], "download", self.spec["repo"], *(file["path"] for file in files), "--revision", self.spec["commit"],
            "--local-dir", self.base, "--max-workers", str(self.spec["max_workers"]), "--quiet",
        ]
        environment = {
            "HF_ENDPOINT": endpoint.url, "HF_TOKEN": endpoint.token, "HF_HOME": os.path.join(self.base, ".cache", "home"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **self.xet(endpoint),
        }
        status, said = self.run(endpoint, command, environment, "", files)
        if status == 0:
            return Outcome()
        lines = [line for line in said.splitlines() if line.strip()]
        # Above the last line stand the stack frames of the client.
        last = lines[-1] if lines and signal_of(status) in (0, signal.SIGTERM) else f"hf {describe(status)}"
        code = re.search(r"\b(401|403|404|429|5\d\d) (?:Client|Server) Error", said)
        return Outcome(one_line(last, endpoint.token), int(code.group(1)) if code else 0, disk="No space left on device" in said)

    def xet(self, endpoint: Endpoint) -> dict[str, str]:
        """Xet takes its data from hosts of its own: only with the Hub itself, and there only until it stalls."""
        if endpoint.url != HUB or endpoint.url in self.without_xet:
            return {"HF_HUB_DISABLE_XET": "1"}
        return {"HF_XET_HIGH_PERFORMANCE": "1"}

    def bytes_of(self, file: File) -> int:
        return super().bytes_of(file)

    def unfinished(self) -> int:
        """Bytes of files that the client has begun and that have no name yet."""
        return sum(size_of(path) for path in leftovers(self.base))


def quoted(text: str) -> str:
    """Return text as curl's configuration files want it. Raises ValueError of what would not stay on its line."""
    if not text.isprintable():
        raise ValueError("a control character in a setting of curl")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def leftovers(base: str) -> list[str]:
    """Return the paths of the beginnings that the official client has written."""
    walk = os.walk(os.path.join(base, ".cache"))
    return [os.path.join(folder, name) for folder, _folders, names in walk for name in names if name.endswith(".incomplete")]


def drop_leftovers(base: str) -> None:
    """Remove the beginnings that a killed client left behind: it starts such a file anew and would never take the space back."""
    for path in leftovers(base):
        os.unlink(path)


def drop_bookkeeping(base: str) -> None:
    """Remove what the official client keeps for itself; the manifest takes its place."""
    shutil.rmtree(os.path.join(base, ".cache"), ignore_errors=True)
